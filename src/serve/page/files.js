// files.js -- files that a tool made: pictures are shown, everything else can be saved.
//
// Only pictures that cannot hold a script are shown; whatever else came out is text of strangers and
// is offered as a download, never opened in this page.

import { h } from './dom.js';

const SHOWN = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

function blobOf(file) {
  const bytes = Uint8Array.from(atob(file.data), c => c.charCodeAt(0));
  const type = SHOWN.includes(file.type) ? file.type : 'application/octet-stream';
  return URL.createObjectURL(new Blob([bytes], { type }));
}

export function filesView(files) {
  return files.map(file => {
    if (!file.data) return h('p', { class: 'hint' }, `${file.name}: too large to bring here`);
    const href = blobOf(file);
    return h(
      'figure',
      { class: 'file' },
      SHOWN.includes(file.type) && h('img', { src: href, alt: file.name }),
      h(
        'figcaption',
        {},
        h('a', { href, download: file.name }, file.name),
        ` ${file.type}, ${file.bytes} bytes`,
      ),
    );
  });
}
