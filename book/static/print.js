// Paper is white: in the dark theme a browser prints the light letters, and not the ground they stand on.
(() => {
  const root = document.documentElement;
  let theme;

  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
  });
})();
