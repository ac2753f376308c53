// words.js -- numbers as people read them.

/** 0.42 ms, 12.3 ms, 340 ms, 2.41 s */
export function ms(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return '–';
  if (x < 1) return `${x.toFixed(2)} ms`;
  if (x < 100) return `${x.toFixed(1)} ms`;
  return x < 1000 ? `${Math.round(x)} ms` : `${(x / 1000).toFixed(x < 10000 ? 2 : 1)} s`;
}

/** 0.9526 is 95 %; what is not quite everything is never shown as 100 %. */
export function percent(x) {
  const p = x * 100;
  if (p >= 99.95 && x < 1) return '> 99.9 %';
  if (p > 99 && x < 1) return `${p.toFixed(1)} %`;
  if (p < 1 && x > 0) return p < 0.1 ? '< 0.1 %' : `${p.toFixed(1)} %`;
  return `${Math.round(p)} %`;
}

export const share = (n, of) => (of ? percent(n / of) : '–');

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
