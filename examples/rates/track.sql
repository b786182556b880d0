-- Tracks pairs by hand: psql "$LONGSHORE_POSTGRES_URL" -f examples/rates/track.sql
-- The first prices are there within seconds. Prices of national currencies come from CoinGecko every five minutes, which its
-- free plan bears.
insert into longshore.trade_info (provider, base, quote, provider_symbol, interval_seconds) values
  ('binance', 'BTC', 'USDT', null, 10),
  ('binance', 'ETH', 'USDT', null, 10),
  ('coingecko', 'USDT', 'EUR', 'tether', 300),
  ('coingecko', 'USDT', 'UAH', 'tether', 300)
on conflict do nothing;
