// api.js -- asking the server: JSON, streams of events, errors as they are said on the wire.
//
// Paths are relative to the page, so that it works behind a proxy that puts a prefix before them.

import { apiKey, setApiKey } from './store.js';

/** A refusal, or that the server was not reached: message, status (0: not reached), code, param. */
export class ApiError extends Error {
  constructor(message, status = 0, error = {}) {
    super(message);
    this.status = status;
    this.code = error.code ?? null;
    this.param = error.param ?? null;
  }
}

let askForKey = null;
/** ask() shows whatever it takes and resolves to a key, or null if the visitor would rather not. */
export const onKeyNeeded = ask => {
  askForKey = ask;
};

export const url = path => new URL(path, document.baseURI);

function headers(body) {
  const h = {};
  if (body) h['Content-Type'] = 'application/json';
  if (apiKey()) h.Authorization = `Bearer ${apiKey()}`;
  return h;
}

async function open(path, body, signal) {
  let r;
  try {
    r = await fetch(url(path), {
      method: body ? 'POST' : 'GET',
      headers: headers(body),
      body,
      signal,
    });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new ApiError('The server cannot be reached.');
  }
  if (r.status === 401 && askForKey) {
    const key = await askForKey(apiKey() !== null);
    if (key) {
      setApiKey(key);
      return open(path, body, signal);
    }
  }
  if (!r.ok) throw await refusal(r);
  return r;
}

async function refusal(r) {
  const text = await r.text();
  try {
    const { error } = JSON.parse(text);
    return new ApiError(error.message, r.status, error);
  } catch {
    return new ApiError(text.slice(0, 300) || `The server answered ${r.status}.`, r.status);
  }
}

export async function get(path, signal) {
  return (await open(path, undefined, signal)).json();
}

/** The answer, parsed where it is JSON. */
export async function post(path, value, signal) {
  const r = await open(path, JSON.stringify(value), signal);
  return r.headers.get('Content-Type')?.startsWith('application/json') ? r.json() : r.text();
}

/** Sends body (text) and calls onevent(data, text) for each event, data parsed. Throws what a
 *  stream says of its own failure. */
export async function stream(path, body, { signal, onopen, onevent }) {
  const r = await open(path, body, signal);
  onopen?.(r);
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = '';
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (e) {
      if (e.name === 'AbortError') throw e;
      throw new ApiError('The connection broke off in the middle of the answer.');
    }
    if (piece.done) throw new ApiError('The stream ended before the answer did.');
    held += piece.value;
    const blocks = held.split('\n\n');
    held = blocks.pop();
    for (const block of blocks) {
      if (!block.startsWith('data: ')) continue; // a comment that keeps the connection alive
      const text = block.slice(6);
      if (text === '[DONE]') return;
      const data = JSON.parse(text);
      if (data.error) throw new ApiError(data.error.message, r.status, data.error);
      onevent(data, text);
    }
  }
}
