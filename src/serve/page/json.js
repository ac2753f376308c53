// json.js -- JSON with places: where a text breaks, where a path lies in it, how it is coloured.
//
// The browser's own parser says neither line nor path in a way one can rely on.

export class JsonError extends Error {
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

const SPACE = /[ \t\n\r]*/y,
  NUMBER = /-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y,
  WORD = /true|false|null/y;
// eslint-disable-next-line no-control-regex
const STRING = /"([^"\\\u0000-\u001f]|\\(["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/** {value, at, end, members?: Map name -> node, items?: [node]}; throws JsonError. */
export function parse(text) {
  let pos = 0;
  const match = re => {
    re.lastIndex = pos;
    const m = re.exec(text);
    if (m) pos = re.lastIndex;
    return m?.[0] ?? null;
  };
  const fail = message => {
    throw new JsonError(message, pos);
  };
  const found = () => (pos >= text.length ? 'the end' : `“${text[pos]}”`);

  function string() {
    const raw = match(STRING);
    if (raw === null) fail('this string does not end, or holds a character that must be escaped');
    return JSON.parse(raw);
  }

  function object(node) {
    node.value = {};
    node.members = new Map();
    pos++;
    match(SPACE);
    while (text[pos] !== '}') {
      if (node.members.size) {
        if (text[pos] !== ',') fail(`“,” or “}” is expected here, not ${found()}`);
        pos++;
        match(SPACE);
      }
      if (text[pos] !== '"') fail(`a name in double quotes is expected here, not ${found()}`);
      const nameAt = pos,
        name = string();
      if (node.members.has(name)) throw new JsonError(`“${name}” is there twice`, nameAt);
      match(SPACE);
      if (text[pos] !== ':') fail(`“:” is expected here, not ${found()}`);
      pos++;
      const child = any();
      child.nameAt = nameAt;
      node.members.set(name, child);
      Object.defineProperty(node.value, name, {
        value: child.value,
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    pos++;
  }

  function array(node) {
    node.items = [];
    pos++;
    match(SPACE);
    while (text[pos] !== ']') {
      if (node.items.length) {
        if (text[pos] !== ',') fail(`“,” or “]” is expected here, not ${found()}`);
        pos++;
      }
      node.items.push(any());
    }
    node.value = node.items.map(i => i.value);
    pos++;
  }

  function any() {
    match(SPACE);
    const node = { at: pos },
      c = text[pos];
    if (c === '{') object(node);
    else if (c === '[') array(node);
    else if (c === '"') node.value = string();
    else {
      const raw = match(WORD) ?? match(NUMBER);
      if (raw === null) fail(`a value is expected here, not ${found()}`);
      node.value = JSON.parse(raw);
    }
    node.end = pos;
    match(SPACE);
    return node;
  }

  const root = any();
  if (pos < text.length) fail(`nothing more is expected here, not ${found()}`);
  return root;
}

/** The node at the end of steps (names and indices), or the last one on the way that is there. */
export function follow(root, steps) {
  let node = root;
  for (const step of steps) {
    const next = node.members?.get(String(step)) ?? node.items?.[step];
    if (!next) break;
    node = next;
  }
  return node;
}

/** Line and column, both from 1. */
export function place(text, at) {
  const before = text.slice(0, at),
    line = before.split('\n').length;
  return { line, column: at - before.lastIndexOf('\n') };
}

const PIECES = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)/g;

/** Text of JSON as nodes, coloured; of unfinished JSON as far as it goes. */
export function coloured(text) {
  const out = document.createDocumentFragment();
  let at = 0;
  for (const m of text.matchAll(PIECES)) {
    const kind = m[1] ? (m[2] ? 'name' : 'string') : m[3] ? 'number' : 'word';
    const piece = m[2] ? m[1] : m[0];
    const span = document.createElement('span');
    span.className = `json-${kind}`;
    span.textContent = piece;
    out.append(text.slice(at, m.index), span);
    at = m.index + piece.length;
  }
  out.append(text.slice(at));
  return out;
}

const WIDTH = 60;

/** JSON spread over lines, but what fits a line stays on it: it is to be read, not to be counted.
 *  Scalars stay as they were written (a number may have more digits than a browser keeps). */
export function pretty(text) {
  try {
    return spread(text, parse(text), '');
  } catch {
    return text;
  }
}

function spread(text, node, indent) {
  const inner = `${indent}  `,
    flat = onOneLine(text, node);
  if (flat.length + indent.length <= WIDTH || !(node.members || node.items)) return flat;
  if (node.items)
    return `[\n${node.items.map(n => inner + spread(text, n, inner)).join(',\n')}\n${indent}]`;
  const members = named(node, n => spread(text, n, inner)).map(m => inner + m);
  return `{\n${members.join(',\n')}\n${indent}}`;
}

function onOneLine(text, node) {
  if (node.items) return `[${node.items.map(n => onOneLine(text, n)).join(', ')}]`;
  if (!node.members) return text.slice(node.at, node.end);
  if (!node.members.size) return '{}';
  return `{ ${named(node, n => onOneLine(text, n)).join(', ')} }`;
}

const named = (node, write) =>
  [...node.members].map(([name, n]) => `${JSON.stringify(name)}: ${write(n)}`);
