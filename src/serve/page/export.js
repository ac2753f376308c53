// export.js -- a request as a command and as a program, exactly the one that was sent.
//
// A key is not written down: both read it from the environment (API_KEY), where one is needed.

import { url } from './api.js';
import { apiKey } from './store.js';

/** For a POSIX shell. In single quotes only the single quote itself must be left for a moment. */
const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;

export function asCurl(body) {
  const lines = [
    `curl -sN ${quoted(url('v1/chat/completions').href)}`,
    `-H ${quoted('Content-Type: application/json')}`,
  ];
  if (apiKey()) lines.push('-H "Authorization: Bearer $API_KEY"');
  lines.push(`-d ${quoted(body)}`);
  return `${lines.join(' \\\n  ')}\n`;
}

// Members that the openai package has parameters for; others go along in extra_body.
const OWN = [
  'model',
  'messages',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'temperature',
  'max_completion_tokens',
  'seed',
  'logprobs',
  'top_logprobs',
  'stream',
  'stream_options',
];

export function asPython(body) {
  const own = Object.entries(body).filter(([k]) => OWN.includes(k)),
    extra = Object.entries(body).filter(([k]) => !OWN.includes(k));
  const args = own.map(([k, v]) => `    ${k}=${literal(v, '    ')},`);
  if (extra.length) args.push(`    extra_body=${literal(Object.fromEntries(extra), '    ')},`);
  const key = apiKey() ? 'os.environ["API_KEY"]' : '"none"';
  return `${apiKey() ? 'import os\n\n' : ''}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(url('v1').href)}, api_key=${key})
stream = client.chat.completions.create(
${args.join('\n')}
)
for chunk in stream:
    for choice in chunk.choices:
        if choice.delta.content:
            print(choice.delta.content, end="", flush=True)
        for call in choice.delta.tool_calls or []:
            if call.function.name:
                print(call.function.name, end=" ")
            print(call.function.arguments, end="", flush=True)
print()
`;
}

/** A JSON value as Python writes it; strings of JSON are strings of Python. */
function literal(value, indent) {
  if (value === null) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value !== 'object') return JSON.stringify(value);
  const many = Array.isArray(value),
    inner = `${indent}    `;
  const parts = many
    ? value.map(v => literal(v, inner))
    : Object.entries(value).map(([k, v]) => `${JSON.stringify(k)}: ${literal(v, inner)}`);
  const flat = parts.join(', ');
  const [begin, end] = many ? '[]' : '{}';
  if (flat.length + indent.length < 100 && !flat.includes('\n')) return begin + flat + end;
  return `${begin}\n${parts.map(p => inner + p).join(',\n')},\n${indent}${end}`;
}
