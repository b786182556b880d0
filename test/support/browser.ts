import { type Browser, chromium } from 'playwright-core';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A headless Chromium: Debian's, or the one that `LONGSHORE_CHROMIUM` names. */
export function launchChromium(): Promise<Browser> {
  const executablePath = process.env.LONGSHORE_CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ARGUMENTS });
}
