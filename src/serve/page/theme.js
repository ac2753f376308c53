// theme.js -- the colours a visitor chose, set before anything is painted (the one script that is
// no module, because modules run too late for that). Without a choice the system's preference
// holds.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem('tenon.theme');
  } catch {
    /* storage may be forbidden */
  }
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme;
})();
