// Sphinx's search fetches each page it finds, to quote it; a browser forbids that for file://. The build has put all
// texts into one file (window.BOOK_TEXTS, tools/book_html.py), and they are given out here.
window.fetch = async (address) => {
  const name = new URL(address, location).pathname;
  const page = Object.keys(BOOK_TEXTS).find((page) => name.endsWith(`/${page}.html`));
  return new Response(`<div role="main">${BOOK_TEXTS[page] ?? ""}</div>`);
};
