import { z } from 'zod';
import { integer, text, url } from './variable.ts';

/** The Telegram bot. */
export const bot = z.object({
  token: text({
    env: 'LONGSHORE_BOT_TOKEN',
    aliases: ['TELEGRAM_BOT_TOKEN'],
    description: 'Token of the bot, from @BotFather.',
    secret: true,
    pattern: /^\d{1,20}:[A-Za-z0-9_-]{20,100}$/,
    allowed: 'what @BotFather gave you, such as `123456:AAE…`',
  }),
  apiUrl: url(
    {
      env: 'LONGSHORE_BOT_API_URL',
      description: 'Bot API: that of Telegram, or of a server of your own.',
      default: 'https://api.telegram.org',
    },
    ['https', 'http'],
  ),
  namespace: text({
    env: 'LONGSHORE_BOT_NAMESPACE',
    description: 'Namespace whose rates the bot shows. One bot for a namespace.',
    default: 'default',
    pattern: /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/,
    allowed: 'a namespace name',
  }),
  webhookUrl: url(
    {
      env: 'LONGSHORE_BOT_WEBHOOK_URL',
      description: 'Where Telegram reaches this process. Not set: long polling.',
    },
    ['https'],
  ),
  webhookSecret: text({
    env: 'LONGSHORE_BOT_WEBHOOK_SECRET',
    description: 'What Telegram has to show with each call of the webhook; needed with its URL.',
    secret: true,
    pattern: /^[A-Za-z0-9_-]{16,256}$/,
    allowed: '16 to 256 letters, digits, `-` and `_`',
  }),
  host: text({
    env: 'LONGSHORE_BOT_HOST',
    description: 'Address that the webhook listens on.',
    default: '0.0.0.0',
    allowed: 'an address or host name',
  }),
  port: integer(
    {
      env: 'LONGSHORE_BOT_PORT',
      description: 'Port that the webhook listens on (HTTP; TLS ends in front of it); 0 takes a free one.',
      default: '8082',
    },
    0,
    65_535,
  ),
  perMinute: integer(
    {
      env: 'LONGSHORE_BOT_PER_MINUTE',
      description: 'Commands and buttons of one person a minute; a third of it may come at once.',
      default: '30',
      unit: 'commands/min',
    },
    1,
    6_000,
  ),
  maxSubscriptions: integer(
    {
      env: 'LONGSHORE_BOT_MAX_SUBSCRIPTIONS',
      description: 'Subscriptions of one chat.',
      default: '20',
    },
    1,
    1_000,
  ),
});
