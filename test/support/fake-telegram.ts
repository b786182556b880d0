import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const BOT_TOKEN = '123456:AAEtest-token_of-nobody-at-all-00000';

/** A call that the bot made. */
export interface TelegramCall {
  method: string;
  payload: Record<string, unknown>;
  atMs: number;
  /** As it was answered; 0 for one whose answer was lost. */
  status: number;
}

/** How one call goes wrong. `lost`: it is carried out, and the connection breaks before the answer. */
export type TelegramFailure =
  | {
      status: number;
      description: string;
      parameters?: { retry_after?: number; migrate_to_chat_id?: number };
    }
  | 'lost'
  | 'reset';

export interface SentMessage {
  messageId: number;
  chatId: number;
  text: string;
  buttons: { text: string; callback_data: string }[];
}

type Update = Record<string, unknown> & { update_id: number };

interface Answer {
  status: number;
  body: object;
}

const ok = (result: unknown): Answer => ({ status: 200, body: { ok: true, result } });
const failed = (status: number, description: string, parameters?: object): Answer => ({
  status,
  body: {
    ok: false,
    error_code: status,
    description,
    ...(parameters === undefined ? {} : { parameters }),
  },
});

const ME = {
  id: 123_456,
  is_bot: true,
  first_name: 'Rates',
  username: 'longshore_test_bot',
  can_join_groups: true,
  can_read_all_group_messages: false,
  supports_inline_queries: false,
  can_connect_to_business: false,
  has_main_web_app: false,
};

/** A stand-in for Telegram's Bot API: updates by long polling or webhook, messages, limits and blocks in their true shapes. */
export class FakeTelegram {
  readonly calls: TelegramCall[] = [];
  readonly messages: SentMessage[] = [];
  /** Chats that have blocked the bot. */
  readonly blocked = new Set<number>();
  webhook: { url: string; secret: string } | null = null;
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  readonly #failures = new Map<string, TelegramFailure[]>();
  #updates: Update[] = [];
  #updateId = 1_000;
  #messageId = 0;
  #wakePoll: (() => void) | null = null;

  static async start({ host = '127.0.0.1', port = 0 } = {}): Promise<FakeTelegram> {
    const fake = new FakeTelegram();
    fake.#server.listen(port, host);
    await once(fake.#server, 'listening');
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Updates that the bot has not confirmed. */
  get unconfirmed(): number {
    return this.#updates.length;
  }

  /** Lets the next calls of a method go wrong, each in its turn. */
  fail(method: string, ...failures: TelegramFailure[]): void {
    this.#failures.set(method, [...(this.#failures.get(method) ?? []), ...failures]);
  }

  /** Nothing goes wrong any more with a method. */
  recover(method: string): void {
    this.#failures.delete(method);
  }

  callsOf(method: string): TelegramCall[] {
    return this.calls.filter((call) => call.method === method);
  }

  textsTo(chatId: number): string[] {
    return this.messages.filter((message) => message.chatId === chatId).map(({ text }) => text);
  }

  /** A person writes; to the bot itself, or with a negative `chatId` into a group. Answers the update. */
  say(text: string, { chatId = 7, personId = 7 } = {}): Update {
    const command = /^\/[A-Za-z0-9_@]+/.exec(text)?.[0];
    return this.#push({
      message: {
        message_id: this.#nextMessageId(),
        date: Math.floor(Date.now() / 1_000),
        chat: chatOf(chatId),
        from: { id: personId, is_bot: false, first_name: 'Ada' },
        text,
        ...(command === undefined
          ? {}
          : { entities: [{ type: 'bot_command', offset: 0, length: command.length }] }),
      },
    });
  }

  press(data: string, { chatId = 7, personId = 7, messageId = 1 } = {}): Update {
    return this.#push({
      callback_query: {
        id: String(this.#updateId),
        from: { id: personId, is_bot: false, first_name: 'Ada' },
        chat_instance: '1',
        data,
        message: { message_id: messageId, date: 1, chat: chatOf(chatId), text: 'before' },
      },
    });
  }

  /** The person blocks the bot, and Telegram says so. */
  block(chatId: number): void {
    this.blocked.add(chatId);
    const member = (status: string) => ({ status, user: ME, until_date: 0 });
    this.#push({
      my_chat_member: {
        chat: chatOf(chatId),
        from: { id: chatId, is_bot: false, first_name: 'Ada' },
        date: 1,
        old_chat_member: member('member'),
        new_chat_member: member('kicked'),
      },
    });
  }

  /** Delivers an update once more, as Telegram does when it got no answer. */
  again(update: Update): void {
    this.#updates.push(update);
    this.#wakePoll?.();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #push(content: object): Update {
    const update = { update_id: this.#updateId, ...content };
    this.#updateId += 1;
    if (this.webhook === null) this.again(update);
    return update;
  }

  #nextMessageId(): number {
    this.#messageId += 1;
    return this.#messageId;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, token, method = ''] = /^\/bot([^/]+)\/(\w+)$/.exec(request.url ?? '') ?? [];
    const payload = await readJson(request);
    const call: TelegramCall = { method, payload, atMs: performance.now(), status: 0 };
    this.calls.push(call);
    const failure = this.#failures.get(method)?.shift();
    if (failure === 'reset') return void response.destroy();
    const { status, body } = await this.#judge(token === BOT_TOKEN, call, failure, response);
    if (failure === 'lost') return void response.destroy();
    call.status = status;
    const bytes = Buffer.from(JSON.stringify(body));
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length });
    response.end(bytes);
  }

  #judge(
    known: boolean,
    { method, payload }: TelegramCall,
    failure: TelegramFailure | undefined,
    response: ServerResponse,
  ): Answer | Promise<Answer> {
    if (!known) return failed(401, 'Unauthorized');
    if (typeof failure === 'object') return failed(failure.status, failure.description, failure.parameters);
    switch (method) {
      case 'getMe':
        return ok(ME);
      case 'getUpdates':
        return this.#getUpdates(payload, response);
      case 'sendMessage':
        return this.#sendMessage(payload);
      case 'setWebhook':
        this.webhook = { url: String(payload.url), secret: String(payload.secret_token) };
        return ok(true);
      case 'deleteWebhook':
        this.webhook = null;
        return ok(true);
      case 'editMessageText':
        return ok({
          message_id: payload.message_id,
          date: 1,
          chat: chatOf(Number(payload.chat_id)),
          text: payload.text,
        });
      case 'answerCallbackQuery':
      case 'setMyCommands':
        return ok(true);
      default:
        return failed(404, 'Not Found: method not found');
    }
  }

  async #getUpdates(payload: Record<string, unknown>, response: ServerResponse): Promise<Answer> {
    if (this.webhook !== null)
      return failed(
        409,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
      );
    const offset = Number(payload.offset ?? 0);
    this.#updates = this.#updates.filter(({ update_id }) => update_id >= offset);
    // A second poll ends the first.
    this.#wakePoll?.();
    if (this.#updates.length === 0 && Number(payload.timeout ?? 0) > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Number(payload.timeout) * 1_000);
        const end = () => {
          clearTimeout(timer);
          this.#wakePoll = null;
          resolve();
        };
        this.#wakePoll = end;
        response.once('close', end);
      });
    }
    return ok(this.#updates.slice(0, Number(payload.limit ?? 100)));
  }

  #sendMessage(payload: Record<string, unknown>): Answer {
    const chatId = Number(payload.chat_id);
    const text = String(payload.text ?? '');
    if (this.blocked.has(chatId)) return failed(403, 'Forbidden: bot was blocked by the user');
    if (text === '') return failed(400, 'Bad Request: message text is empty');
    if (text.length > 4_096) return failed(400, 'Bad Request: message is too long');
    const markup = payload.reply_markup as
      | { inline_keyboard: { text: string; callback_data: string }[][] }
      | undefined;
    const buttons = markup?.inline_keyboard.flat() ?? [];
    if (buttons.some(({ callback_data }) => Buffer.byteLength(callback_data) > 64))
      return failed(400, 'Bad Request: BUTTON_DATA_INVALID');
    const messageId = this.#nextMessageId();
    this.messages.push({ messageId, chatId, text, buttons });
    return ok({ message_id: messageId, date: 1, chat: chatOf(chatId), from: ME, text });
  }
}

function chatOf(id: number): object {
  return id < 0
    ? { id, type: id < -1_000_000_000_000 ? 'supergroup' : 'group', title: 'Traders' }
    : { id, type: 'private', first_name: 'Ada' };
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}
