// store.js -- what a visitor chose, kept in this browser: settings, the text of the tools, mock
// results. The conversation is not kept, and neither is a key (that one lives until the tab is
// closed).

const KEY = 'tenon.playground';
const defaults = {
  preset: 'home',
  here: '', // names of the tools of the server when they were seen last
  tools: null, // text of the editor; null: the preset's as it is
  own: null, // the last text that was the visitor's
  mocks: {}, // tool name -> text, where the visitor changed them
  system: '',
  choice: 'auto',
  parallel: true,
  temperature: 0,
  maxTokens: 0, // 0: what the context leaves
  seed: null,
  odds: false, // ask for log-probabilities and alternatives
  autoMock: false,
  model: null,
  tab: 'timeline',
};

function load() {
  try {
    return { ...defaults, ...JSON.parse(localStorage.getItem(KEY) ?? '{}') };
  } catch {
    // forbidden, or written by somebody else
    return { ...defaults };
  }
}

export const settings = load();

export function save(changes) {
  Object.assign(settings, changes);
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    /* then only this tab knows */
  }
}

export function saveTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('tenon.theme', theme);
  } catch {
    /* as above */
  }
}

export function themeNow() {
  return (
    document.documentElement.dataset.theme ??
    (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
  );
}

let key = null;
try {
  key = sessionStorage.getItem('tenon.key');
} catch {
  /* asked for again then */
}
export const apiKey = () => key;
export function setApiKey(text) {
  key = text || null;
  try {
    if (key) sessionStorage.setItem('tenon.key', key);
    else sessionStorage.removeItem('tenon.key');
  } catch {
    /* as above */
  }
}
