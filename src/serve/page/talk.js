// talk.js -- the conversation: what was said, what is asked of the server, how its answer is put
// together.
//
// No element of the page is touched here; views listen. A turn is {role: 'user', text} or, for the
// assistant, {role, text, reasoning, calls, run}. A call is {id, name, args, done, confidence,
// schemaOk, result}. A run is everything known of one request: what was sent, each event that came,
// tokens, times. A call that runs on the server has a stage besides (hands.js). Its clock is the browser's (performance.now); times in tokens and timings are the
// server's, from the request's arrival on.

import { stream } from './api.js';
import { settings } from './store.js';

export class Talk extends EventTarget {
  turns = [];
  running = null; // AbortController of the request that runs
  work = new Set(); // those of tools that run
  model = null; // set by the model picker
  ready = async () => null; // set by the tool editor: what keeps the tools from being sent
  tools = () => []; // set by the tool editor: what it holds, if it holds valid tools

  #tell(what, turn) {
    this.dispatchEvent(new CustomEvent(what, { detail: turn }));
  }

  get last() {
    return this.turns.at(-1) ?? null;
  }

  /** Calls of the last answer that have no result yet. */
  get open() {
    const calls = this.last?.role === 'assistant' && !this.running ? this.last.calls : [];
    return calls.filter(c => !c.result);
  }

  /** Something goes on: the model answers, or tools run. */
  get busy() {
    return Boolean(this.running) || this.work.size > 0;
  }

  clear() {
    this.stop();
    this.running = null;
    this.turns = [];
    this.#tell('cleared');
  }

  stop() {
    this.running?.abort();
    for (const abort of this.work) abort.abort();
  }

  // ---- tools that run (hands.js) ----

  begin(abort) {
    this.work.add(abort);
    this.#tell('busy');
  }

  end(abort) {
    this.work.delete(abort);
    this.#tell('busy');
  }

  changed(turn) {
    this.#tell('changed', turn);
  }

  /** The answer to the results, if they are all there and nothing else was said meanwhile. */
  goOn(turn) {
    if (turn === this.last && !this.busy && turn.calls.every(c => c.result)) this.#ask();
  }

  /** A message of the user. Calls that still wait are told that nobody ran them: each call has
   *  exactly one result. */
  say(text) {
    if (this.running) return;
    for (const call of this.open) {
      call.stage = null;
      call.result = {
        text: JSON.stringify({ error: 'cancelled by the user' }),
        at: performance.now(),
      };
    }
    this.stop();
    this.turns.push({ role: 'user', text });
    this.#tell('added', this.last);
    this.#ask();
  }

  /** Results of the calls of the last answer, in their order; those that have one keep it. */
  answer(texts) {
    const at = performance.now();
    this.last.calls.forEach((call, i) => {
      call.result ??= { text: texts[i], at };
    });
    this.#tell('changed', this.last);
    this.#ask();
  }

  /** The last answer again (or the one that failed). */
  again() {
    if (this.busy) return;
    if (this.last?.role === 'assistant') {
      const turn = this.turns.pop();
      this.#tell('removed', turn);
    }
    if (this.last) this.#ask();
  }

  // ---- asking -------------------------------------------------------------------------------

  /** The conversation as the API writes it. */
  messages() {
    const out = settings.system.trim() ? [{ role: 'system', content: settings.system }] : [];
    for (const turn of this.turns) {
      if (turn.role === 'user') out.push({ role: 'user', content: turn.text });
      else out.push(...assistantMessages(turn));
    }
    return out;
  }

  request() {
    const tools = this.tools(),
      body = {};
    if (this.model) body.model = this.model;
    body.messages = this.messages();
    if (tools.length) {
      body.tools = tools;
      if (settings.choice !== 'auto') body.tool_choice = choice(settings.choice);
      if (!settings.parallel) body.parallel_tool_calls = false;
    }
    if (settings.temperature > 0) body.temperature = settings.temperature;
    if (settings.maxTokens) body.max_completion_tokens = settings.maxTokens;
    if (settings.seed !== null) body.seed = settings.seed;
    if (settings.odds) Object.assign(body, { logprobs: true, top_logprobs: 5 });
    return {
      ...body,
      stream: true,
      stream_options: { include_usage: true },
      return_tokens: true,
      return_progress: true,
      return_confidence: true,
    };
  }

  async #ask() {
    const body = this.request();
    const run = {
      body,
      text: JSON.stringify(body),
      startedAt: performance.now(),
      events: [],
      tokens: [],
      odds: [],
      progress: null,
      timings: null,
      usage: null,
      finish: null,
      error: null,
      calledAt: null,
      endedAt: null,
      stopped: false,
    };
    const turn = { role: 'assistant', text: '', reasoning: '', calls: [], run };
    const abort = (this.running = new AbortController());
    this.turns.push(turn);
    this.#tell('added', turn);
    try {
      await stream('v1/chat/completions', run.text, {
        signal: abort.signal,
        onevent: (data, text) => {
          run.events.push({ ms: performance.now() - run.startedAt, text });
          fold(turn, data);
          this.#tell('changed', turn);
        },
      });
    } catch (e) {
      if (e.name === 'AbortError') run.stopped = true;
      else run.error = e;
    }
    if (this.turns.includes(turn)) this.#end(turn);
    else if (this.running === abort) this.running = null;
  }

  #end(turn) {
    turn.run.endedAt = performance.now();
    // Half a call is none.
    if (turn.run.stopped || turn.run.error) turn.calls = turn.calls.filter(c => c.done);
    this.running = null;
    this.#tell('changed', turn);
    this.#tell('ended', turn);
  }
}

function assistantMessages(turn) {
  if (!turn.text && !turn.calls.length) return [];
  const message = { role: 'assistant', content: turn.text || null };
  if (turn.calls.length)
    message.tool_calls = turn.calls.map(c => ({
      id: c.id,
      type: 'function',
      function: { name: c.name, arguments: c.args },
    }));
  return [
    message,
    ...turn.calls
      .filter(c => c.result)
      .map(c => ({ role: 'tool', tool_call_id: c.id, content: c.result.text })),
  ];
}

function choice(word) {
  return word.startsWith('=') ? { type: 'function', function: { name: word.slice(1) } } : word;
}

// ---- an answer out of its events --------------------------------------------------------------

function fold(turn, data) {
  const run = turn.run,
    c = data.choices[0];
  if (data.usage) run.usage = data.usage;
  if (data.timings) run.timings = data.timings;
  if (data.prompt_progress) run.progress = data.prompt_progress;
  if (!c) return;
  if (c.tokens) run.tokens.push(...c.tokens);
  if (c.logprobs) run.odds.push(...c.logprobs.content);
  if (c.delta.content) turn.text += c.delta.content;
  if (c.delta.reasoning_content) turn.reasoning += c.delta.reasoning_content;
  for (const d of c.delta.tool_calls ?? []) foldCall(turn, d);
  if (c.finish_reason) finish(turn, c);
}

function foldCall(turn, d) {
  if (!turn.calls[d.index]) {
    callDone(turn, d.index - 1); // calls never interleave: the one before is whole now
    turn.calls[d.index] = {
      id: d.id,
      name: d.function.name,
      args: '',
      done: false,
      confidence: null,
      schemaOk: true,
      result: null,
    };
  }
  const call = turn.calls[d.index];
  call.args += d.function?.arguments ?? '';
  if (d.schema_ok === false) call.schemaOk = false;
}

function callDone(turn, i) {
  const call = turn.calls[i];
  if (!call || call.done) return;
  call.done = true;
  turn.run.calledAt ??= performance.now();
}

function finish(turn, c) {
  turn.run.finish = c.finish_reason;
  c.tool_confidence?.forEach((x, i) => {
    turn.calls[i].confidence = x;
  });
  turn.calls.forEach((call, i) => {
    if (call.confidence !== null) callDone(turn, i);
  }); // null: the limit cut it
}

// ---- numbers of runs ----------------------------------------------------------------------------

/** Tokens by kind, and the time from the one before to each. */
export function kinds(run) {
  const out = { forced: { n: 0, ms: 0 }, sampled: { n: 0, ms: 0 }, drafted: { n: 0, ms: 0 } };
  let before = promptEnd(run);
  for (const t of run.tokens) {
    out[t.kind].n++;
    out[t.kind].ms += Math.max(0, t.ms - before);
    before = Math.max(before, t.ms);
  }
  return out;
}

/** When the prompt was read, by the server's clock; what is known while it is still being read. */
export function promptEnd(run) {
  if (run.timings) return run.timings.queue_ms + run.timings.prompt_ms;
  return run.progress?.time_ms ?? 0;
}

/** The answers that followed one message of the user: [turn], the given one among them. */
export function chain(turns, turn) {
  const at = turns.indexOf(turn);
  let from = at,
    to = at;
  while (from > 0 && turns[from - 1].role === 'assistant') from--;
  while (to + 1 < turns.length && turns[to + 1].role === 'assistant') to++;
  return turns.slice(from, to + 1);
}
