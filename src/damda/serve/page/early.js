// Runs before the first paint, so that a chosen theme or language does not flash. Everything else is in main.js.
(() => {
  let theme = null;
  let language = null;
  try {
    theme = localStorage.getItem("damda.theme");
    language = localStorage.getItem("damda.language");
  } catch {
    // Storage may be forbidden; the browser's own wishes count then.
  }
  const root = document.documentElement;
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  root.lang = language === "ko" || language === "en" ? language : navigator.language.startsWith("ko") ? "ko" : "en";
})();
