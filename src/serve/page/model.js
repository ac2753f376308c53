// model.js -- which model or adapter answers, loading adapters, and whether the server is there.

import { $, announce, fill, h } from './dom.js';
import { get, onKeyNeeded, post } from './api.js';
import { save, settings } from './store.js';

const LOST_MS = 4000,
  WELL_MS = 30000; // between looks at a server that is away, and at one that is there

export async function openModels(talk, onchange) {
  const pick = h('select', { id: 'model' }),
    about = h('span', { class: 'about' });
  fill(
    $('#model-picker'),
    h('label', { for: 'model', class: 'hidden' }, 'Model or adapter'),
    pick,
    about,
  );
  let list = [],
    there = null;

  function show() {
    const models = list.filter(m => !m.parent),
      adapters = list.filter(m => m.parent);
    const option = m => h('option', { value: m.id }, m.id);
    fill(
      pick,
      models.map(option),
      adapters.length > 0 && h('optgroup', { label: 'Adapters' }, adapters.map(option)),
      h('option', { value: '+' }, 'Load an adapter…'),
    );
    if (!list.some(m => m.id === settings.model)) save({ model: null });
    pick.value = settings.model ?? list[0]?.id;
    talk.model = pick.value;
    const chosen = list.find(m => m.id === pick.value),
      meta = chosen?.meta ?? list[0]?.meta;
    const kind = chosen?.parent
      ? `adapter of ${chosen.parent}`
      : meta && `${meta.arch}, ${(meta.n_params / 1e6).toFixed(1)} M parameters`;
    about.textContent = kind ? `${kind}, context ${chosen.max_model_len}` : '';
  }

  pick.addEventListener('change', () => {
    if (pick.value === '+') {
      pick.value = settings.model ?? list[0]?.id;
      loadDialog(async name => {
        await refresh();
        choose(name);
      });
    } else choose(pick.value);
  });

  function choose(name) {
    save({ model: name });
    show();
    onchange();
  }

  async function refresh() {
    list = (await get('v1/models')).data;
    show();
  }

  // ---- is it there? ----

  function tell(ok, why) {
    if (ok === there) return;
    const before = there;
    there = ok;
    fill(
      $('#health'),
      h('span', { class: ok ? 'dot good' : 'dot bad', 'aria-hidden': 'true' }),
      h('span', {}, ok ? 'ready' : 'away'),
    );
    const banner = $('#banner');
    banner.hidden = ok;
    if (!ok)
      fill(
        banner,
        `${why} It is looked for again every few seconds. `,
        h('button', { type: 'button', class: 'small', onclick: look }, 'Look now'),
      );
    else if (before === false) announce('The server is there again');
  }

  let timer = 0;
  async function look() {
    clearTimeout(timer);
    const was = there;
    try {
      await get('health');
      if (!was) await refresh();
      tell(true);
      if (was === false) onchange();
    } catch (e) {
      tell(false, e.status ? `The server says: ${e.message}` : 'The server cannot be reached.');
    }
    timer = setTimeout(look, there && !document.hidden ? WELL_MS : LOST_MS);
  }
  onKeyNeeded(keyDialog);
  await look();
  return { look };
}

// ---- dialogs -----------------------------------------------------------------------------------

let dialogs = 0;
/** A form in a dialog; what onsubmit(values) throws is shown. Resolves when it is closed. */
export function formDialog(title, intro, fields, submit, onsubmit) {
  const id = `dialog-${++dialogs}`;
  const error = h('p', { class: 'error', role: 'alert' }),
    inputs = fields.map(f =>
      h('input', { id: `${id}-${f.name}`, value: f.value ?? '', ...f.attrs }),
    );
  const form = h(
    'form',
    { method: 'dialog' },
    h('h2', { id }, title),
    h('p', {}, intro),
    fields.map((f, i) =>
      h(
        'div',
        { class: 'setting wide' },
        h('label', { for: `${id}-${f.name}` }, f.label),
        inputs[i],
      ),
    ),
    error,
    h(
      'p',
      { class: 'buttons' },
      h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
      h('button', { type: 'submit', class: 'primary' }, submit),
    ),
  );
  const dialog = h('dialog', { 'aria-labelledby': id }, form);
  document.body.append(dialog);
  form.addEventListener('submit', async e => {
    e.preventDefault();
    const button = form.querySelector('[type=submit]');
    button.disabled = true;
    error.textContent = '';
    try {
      await onsubmit(Object.fromEntries(fields.map((f, i) => [f.name, inputs[i].value.trim()])));
      dialog.close();
    } catch (why) {
      error.textContent = why.message;
    }
    button.disabled = false;
  });
  dialog.showModal();
  return new Promise(done =>
    dialog.addEventListener('close', () => {
      dialog.remove();
      done();
    }),
  );
}

function loadDialog(onloaded) {
  return formDialog(
    'Load an adapter',
    'A LoRA adapter on the server’s disk, below its --lora-root. The server must have been ' +
      'started with --enable-lora.',
    [
      {
        name: 'lora_name',
        label: 'Name',
        attrs: {
          required: true,
          pattern: '[A-Za-z0-9_.\\-]{1,128}',
          autocapitalize: 'off',
          spellcheck: 'false',
        },
      },
      {
        name: 'lora_path',
        label: 'Path',
        attrs: {
          required: true,
          placeholder: 'adapters/home.gguf',
          autocapitalize: 'off',
          spellcheck: 'false',
        },
      },
      {
        name: 'scale',
        label: 'Scale',
        value: '1',
        attrs: { type: 'number', step: 'any', required: true },
      },
    ],
    'Load',
    async v => {
      announce(await post('v1/load_lora_adapter', { ...v, scale: Number(v.scale) }));
      await onloaded(v.lora_name);
    },
  );
}

let pending = null;
/** Several requests may be refused at once; one dialog asks for all of them. */
function keyDialog(again) {
  pending ??= (async () => {
    let key = null;
    await formDialog(
      'This server asks for a key',
      again ? 'The key that was given is not valid here.' : 'It is kept until this tab is closed.',
      [
        {
          name: 'key',
          label: 'API key',
          attrs: { type: 'password', required: true, autocomplete: 'off' },
        },
      ],
      'Use it',
      async v => {
        key = v.key;
      },
    );
    pending = null;
    return key;
  })();
  return pending;
}
