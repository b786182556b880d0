const PRICE = /^(\d+)(?:\.(\d{1,6}))?$/;
const MICROS_IN_CENT = 10_000n;

/**
 * What units cost, as a decimal of two places, rounded half up. Exact: prices have up to six places and never become a
 * floating-point number.
 */
export function costOf(units: number, price: string): string {
  const [, whole = '0', fraction = ''] = PRICE.exec(price) ?? [];
  if (!PRICE.test(price)) throw new RangeError(`"${price}" is no price`);
  const micros = BigInt(units) * BigInt(whole + fraction.padEnd(6, '0'));
  const cents = (micros + MICROS_IN_CENT / 2n) / MICROS_IN_CENT;
  return `${cents / 100n}.${(cents % 100n).toString().padStart(2, '0')}`;
}
