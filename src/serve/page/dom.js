// dom.js -- elements out of plain data. Text is always a text node: nothing a model, a tool or a
// server says can become markup (the page's policy forbids innerHTML besides).

/** h('button', {class: 'primary', onclick: f, dataset: {a: 1}}, 'text', node, null …) */
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) set(el, key, value);
  el.append(...children.flat(3).filter(c => c !== null && c !== undefined && c !== false));
  return el;
}

function set(el, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith('on')) el.addEventListener(key.slice(2), value);
  else if (key === 'dataset') Object.assign(el.dataset, value);
  else if (key === 'vars')
    for (const [k, v] of Object.entries(value)) el.style.setProperty(`--${k}`, v);
  else if (key === 'value' || key === 'checked') el[key] = value;
  else if (key === 'class') el.className = value;
  else el.setAttribute(key, value === true ? '' : value);
}

export const $ = selector => document.querySelector(selector);

/** Replaces what is in el, unless nothing changed that can be seen. */
export function fill(el, ...children) {
  el.replaceChildren(...children.flat(3).filter(c => c !== null && c !== undefined && c !== false));
  return el;
}

/** Said to screen readers, once, whatever was said before. */
export function announce(text) {
  const el = $('#announce');
  el.textContent = '';
  requestAnimationFrame(() => {
    el.textContent = text;
  });
}

/** Calls fn at most once a frame, however often it is asked for. */
export function perFrame(fn) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      fn();
    });
  };
}

/** Calls fn when nobody has asked for ms. */
export function whenQuiet(fn, ms) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(fn, ms);
  };
}

/** A button that copies what text() says and tells that it did. */
export function copyButton(label, text, kind = 'small') {
  const button = h('button', { type: 'button', class: kind }, label);
  button.addEventListener('click', async () => {
    const ok = await copy(text());
    button.textContent = ok ? 'Copied' : 'Not copied';
    announce(ok ? `${label}: copied` : 'The browser did not allow copying');
    setTimeout(() => {
      button.textContent = label;
    }, 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // no secure context: a server elsewhere, spoken to over plain HTTP
    const area = h('textarea', { class: 'hidden', value: text, readonly: true });
    document.body.append(area);
    area.select();
    const ok = document.execCommand('copy');
    area.remove();
    return ok;
  }
}

/** One of several buttons is pressed; arrow keys move among them (the tab pattern of ARIA). */
export function tabs(label, names, onselect) {
  const buttons = names.map(([id, text]) =>
    h(
      'button',
      { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': `panel-${id}` },
      text,
    ),
  );
  const list = h('div', { class: 'tabs', role: 'tablist', 'aria-label': label }, buttons);
  const select = (i, focus) => {
    buttons.forEach((b, k) => {
      b.setAttribute('aria-selected', k === i);
      b.tabIndex = k === i ? 0 : -1;
    });
    if (focus) buttons[i].focus();
    onselect(names[i][0]);
  };
  buttons.forEach((b, i) => b.addEventListener('click', () => select(i)));
  list.addEventListener('keydown', e => {
    const at = buttons.indexOf(document.activeElement),
      n = buttons.length;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: n - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    select((to + n) % n, true);
  });
  return { list, select: id => select(names.findIndex(n => n[0] === id)) };
}
