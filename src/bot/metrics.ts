import { Counter, Gauge, type Registry } from 'prom-client';
import { createServiceMetrics } from '../telemetry/metrics.ts';
import { COMMANDS } from './conversation.ts';
import { MESSAGE_OUTCOMES, type MessageOutcome } from './outbox.ts';

export interface BotMetrics {
  onUpdate(kind: string): void;
  onMessage(outcome: MessageOutcome): void;
  onRound(service: string, round: { failed: boolean }): void;
  setWaiting(waiting: { messages: number; oldestSeconds: number }): void;
  setSubscriptions(counts: readonly { kind: string; count: number }[]): void;
}

export const BOT_SERVICES = ['alerts', 'outbox', 'bot-figures'] as const;
const SUBSCRIPTION_KINDS = ['above', 'below', 'every'];
const UPDATE_KINDS = [
  ...COMMANDS.map(({ command }) => command),
  ...['start', 'button', 'other', 'member', 'limited', 'failed'],
];

/** What a bot shows of itself. */
export function createBotMetrics(registry: Registry): BotMetrics {
  const { rounds } = createServiceMetrics(registry, BOT_SERVICES);
  const registers = [registry];
  const updates = new Counter({
    name: 'longshore_bot_updates_total',
    help: 'What people sent, by what it was',
    labelNames: ['kind'],
    registers,
  });
  for (const kind of UPDATE_KINDS) updates.inc({ kind }, 0);
  const messages = new Counter({
    name: 'longshore_bot_messages_total',
    help: 'Tries to send a message, by how they ended',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of MESSAGE_OUTCOMES) messages.inc({ outcome }, 0);
  const waiting = new Gauge({
    name: 'longshore_bot_messages_waiting',
    help: 'Messages in the outbox',
    registers,
  });
  const oldest = new Gauge({
    name: 'longshore_bot_messages_oldest_seconds',
    help: 'How long the oldest of them has waited',
    registers,
  });
  const subscriptions = new Gauge({
    name: 'longshore_bot_subscriptions',
    help: 'Subscriptions by kind',
    labelNames: ['kind'],
    registers,
  });
  return {
    onUpdate: (kind) => updates.inc({ kind }),
    onMessage: (outcome) => messages.inc({ outcome }),
    onRound: (service, { failed }) => rounds.inc({ service, outcome: failed ? 'failed' : 'ok' }),
    setWaiting(now) {
      waiting.set(now.messages);
      oldest.set(now.oldestSeconds);
    },
    setSubscriptions(counts) {
      for (const kind of SUBSCRIPTION_KINDS)
        subscriptions.set({ kind }, counts.find((entry) => entry.kind === kind)?.count ?? 0);
    },
  };
}
