import { execFile } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';

/** What one process bore, asked on 32 connections at once. */
export interface WrkFigures {
  perSecond: number;
  p99Ms: number;
}

/** GETs one address for some seconds, with one thread. Throws with what wrk printed when an answer was not of the 2xx. */
export async function runWrk(url: string, key: string | null, seconds: number): Promise<WrkFigures> {
  const headers = key === null ? [] : ['-H', `Authorization: Bearer ${key}`];
  const args = ['-t1', '-c32', `-d${seconds}s`, '--latency', ...headers, url];
  const { stdout } = await promisify(execFile)('wrk', args);
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(stdout);
  const [, number = '', unit = ''] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  return {
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
    p99Ms: Number(number) * ({ us: 0.001, ms: 1, s: 1_000 }[unit] ?? Number.NaN),
  };
}

const BARE = `
const express = require('express');
const { parentPort } = require('node:worker_threads');
const body = { id: 'x'.repeat(36), text: 'y'.repeat(180) };
const app = express().disable('etag').get('/', (_req, res) => res.json(body));
const server = app.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address()));
`;

/** The limit: the same with an Express route that answers 250 bytes, without keys, headers, metrics and bounds. */
export async function runWrkOnBareExpress(seconds: number): Promise<WrkFigures> {
  const bare = new Worker(BARE, { eval: true });
  try {
    const [address] = (await once(bare, 'message')) as [AddressInfo];
    return await runWrk(`http://127.0.0.1:${address.port}/`, null, seconds);
  } finally {
    await bare.terminate();
  }
}
