// hands.js -- tools that really run: those that the operator of this server named (--tools,
// --tools-builtin).
//
// A call goes through stages: 'asks' (somebody must say yes), 'waits' (its turn comes), 'runs'; then
// it has a result. All calls of an answer are decided before any of them runs; readers run beside
// each other, one that may write waits for all before it and holds back all behind it. When every
// call has its result the conversation goes on by itself.

import { get, post } from './api.js';
import { chain } from './talk.js';

const TURNS_MOST = 16; // answers in a row that lead to calls without anybody looking
const SAME_MOST = 2; // as often an equal call runs unasked

const fresh = () => [...crypto.getRandomValues(new Uint8Array(12))].map(b => b.toString(16).padStart(2, '0')).join('');
const failed = message => ({ text: JSON.stringify({ error: message }), isError: true, files: [] });

export class Hands {
  tools = new Map(); // name -> {function, approve, read_only, source}
  #talk;
  #always = new Set(); // names that may run unasked in this conversation
  #conversation = fresh(); // the server keeps an interpreter for it

  constructor(talk) {
    this.#talk = talk;
    talk.addEventListener('ended', e => this.#take(e.detail));
    talk.addEventListener('cleared', () => {
      this.#always.clear();
      this.#conversation = fresh();
    });
  }

  /** Asks the server what it can run. */
  async look() {
    try {
      const { data } = await get('v1/tools');
      this.tools = new Map(data.map(t => [t.function.name, t]));
    } catch {
      this.tools = new Map(); // an older server, or no key yet: then nothing runs
    }
  }

  /** What a request says of them. */
  definitions() {
    return [...this.tools.values()].map(t => ({ type: t.type, function: t.function }));
  }

  // ---- deciding ------------------------------------------------------------------------------

  #take(turn) {
    const ours = turn.calls.filter(c => c.done && c.schemaOk && !c.result && this.tools.has(c.name));
    if (turn.run.finish !== 'tool_calls' || !ours.length) return;
    const before = chain(this.#talk.turns, turn);
    for (const call of ours) {
      const tool = this.tools.get(call.name);
      const equal = before.flatMap(t => t.calls).filter(c => c !== call && c.name === call.name && c.args === call.args).length;
      const free = tool.approve === 'allow' || this.#always.has(call.name);
      call.decide = word => this.#decide(turn, call, word);
      if (tool.approve === 'deny') call.result = this.#given(failed('This tool is denied here. Answer without it.'));
      else call.stage = free && equal < SAME_MOST && before.length < TURNS_MOST ? 'waits' : 'asks';
    }
    this.#talk.changed(turn);
    this.#go(turn);
  }

  /** word: 'once', 'always', 'no'. */
  #decide(turn, call, word) {
    if (call.stage !== 'asks') return;
    if (word === 'always') this.#always.add(call.name);
    call.stage = word === 'no' ? null : 'waits';
    if (word === 'no')
      call.result = this.#given(failed('The user did not allow this call. Answer without it.'));
    for (const other of turn.calls)
      if (word === 'always' && other.stage === 'asks' && other.name === call.name) other.stage = 'waits';
    this.#talk.changed(turn);
    this.#go(turn);
  }

  #given = result => ({ ...result, at: performance.now() });

  // ---- running -------------------------------------------------------------------------------

  async #go(turn) {
    if (turn.calls.some(c => c.stage === 'asks')) return;
    const waiting = turn.calls.filter(c => c.stage === 'waits');
    const abort = new AbortController();
    if (waiting.length) this.#talk.begin(abort);
    while (waiting.length && !abort.signal.aborted) {
      const reads = c => this.tools.get(c.name)?.read_only;
      let n = 1;
      if (reads(waiting[0])) while (n < waiting.length && reads(waiting[n])) n++;
      await Promise.all(waiting.splice(0, n).map(c => this.#run(turn, c, abort.signal)));
    }
    for (const call of waiting) this.#end(turn, call, failed('cancelled by the user'));
    this.#talk.end(abort);
    if (!abort.signal.aborted) this.#talk.goOn(turn);
  }

  async #run(turn, call, signal) {
    call.stage = 'runs';
    this.#talk.changed(turn);
    const body = {
      name: call.name,
      arguments: JSON.parse(call.args),
      conversation: this.#conversation,
      approved: true,
    };
    try {
      const r = await post('v1/tools/run', body, signal);
      this.#end(turn, call, { text: r.text, isError: r.is_error, ms: r.ms, files: r.files });
    } catch (e) {
      this.#end(turn, call, failed(e.name === 'AbortError' ? 'cancelled by the user' : e.message));
    }
  }

  #end(turn, call, result) {
    call.stage = null;
    call.result ??= this.#given(result); // who wrote on meanwhile has cancelled it
    this.#talk.changed(turn);
  }
}
