// A card with the equation, theorem or figure that a link of the same page names. Glossary terms and citations carry
// their text in the link's own title (tools/book_html.py).
addEventListener("DOMContentLoaded", () => {
  const named = 'article a.reference.internal:is([href^="#equation-"], [href^="#thm-"], [href^="#prp-"], [href^="#fig-"])';
  const card = document.createElement("div");
  card.className = "reference-card";
  card.setAttribute("aria-hidden", "true"); // the link leads to the same words
  let wanted;

  // A clone without ids and links; what MathJax has not set yet, because it is not in view, is set here.
  const copy = async (target) => {
    const clone = target.cloneNode(true);
    const formulas = [...(window.MathJax?.startup.document.math ?? [])].filter((f) => target.contains(f.typesetRoot));
    const places = [...clone.querySelectorAll("mjx-container")];
    for (const [i, formula] of formulas.entries()) {
      places[i]?.replaceWith(await MathJax.tex2svgPromise(formula.math, { display: formula.display }));
    }
    for (const part of clone.querySelectorAll("button, .headerlink")) part.remove();
    // MathJax's glyphs are found by their ids.
    for (const part of [clone, ...clone.querySelectorAll('[id]:not([id^="MJX"])')]) part.removeAttribute("id");
    return clone;
  };

  const show = async ({ currentTarget: link }) => {
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (!target) return;
    wanted = link;
    const clone = await copy(target);
    if (wanted !== link) return; // the reader has moved on
    card.replaceChildren(clone);
    document.body.append(card);
    const at = link.getBoundingClientRect(), { width, height } = card.getBoundingClientRect();
    const below = at.bottom + height + 8 < innerHeight || at.top < height + 8;
    const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - width - 8));
    card.style.left = `${scrollX + left}px`;
    card.style.top = `${scrollY + (below ? at.bottom + 6 : at.top - height - 6)}px`;
  };
  const hide = () => {
    wanted = undefined;
    card.remove();
  };

  for (const link of document.querySelectorAll(named)) {
    for (const event of ["mouseenter", "focus"]) link.addEventListener(event, show);
    for (const event of ["mouseleave", "blur", "click"]) link.addEventListener(event, hide);
  }
  addEventListener("keydown", ({ key }) => key === "Escape" && hide());
});
