import { Decimal } from 'decimal.js';

/** Digits of what is computed: a quotient seldom ends. What providers say is kept as they say it, however long. */
const SIGNIFICANT_DIGITS = 20;
const Exact = Decimal.clone({ precision: 200, toExpNeg: -1_000, toExpPos: 1_000 });
const Rounded = Decimal.clone({ precision: SIGNIFICANT_DIGITS, toExpNeg: -1_000, toExpPos: 1_000 });

const NUMBER = /^\d+(\.\d+)?([eE][+-]?\d{1,3})?$/;
const MAX_LENGTH = 100;
const MAX_DECIMALS = 40;
const LIMIT = new Exact('1e30');

/**
 * A price as plain decimal text without needless zeros; null for what is none: other text, zero, less, 1e30 and more, more
 * than 40 decimals. Never goes through a binary number.
 */
export function parsePrice(text: string): string | null {
  if (text.length > MAX_LENGTH || !NUMBER.test(text)) return null;
  const price = new Exact(text);
  if (!price.isPositive() || price.isZero() || price.gte(LIMIT) || price.decimalPlaces() > MAX_DECIMALS)
    return null;
  return price.toFixed();
}

/** The product, exact as long as it has 20 digits, else rounded to them. Arguments are decimal text. */
export function multiply(a: string, b: string): string {
  return new Rounded(a).times(b).toFixed();
}

/** The quotient, rounded to 20 digits. */
export function divide(a: string, b: string): string {
  return new Rounded(a).div(b).toFixed();
}

/** The product of the ones by that of the others, rounded to 20 digits once. */
export function ratio(above: readonly string[], below: readonly string[]): string {
  const product = (factors: readonly string[]): Decimal =>
    factors.reduce((sum, factor) => sum.times(factor), new Exact(1));
  return new Rounded(product(above)).div(product(below)).toFixed();
}

/** Below 0 when `a` is less, above when it is more. */
export function compareDecimals(a: string, b: string): number {
  return new Exact(a).comparedTo(b);
}

/** As it would be read out: at most so many significant digits. */
export function roundTo(digits: number, price: string): string {
  return new Exact(price).toSignificantDigits(digits).toFixed();
}
