// The EMA generator and its α, in every div.ema-slider: weights, frequency response, and the samples of EMA(G) that
// tools/moving.py computed. Their file is loaded only where there is such a div; the poster stays until it has come.
(() => {
  const DATA = new URL("ema.data.js", document.currentScript.src);
  const SVG = "http://www.w3.org/2000/svg";
  const OLDEST = 60; // stages
  const FAINTEST = 1e-5; // power
  const PAPERS = 0.95; // α of MAD Section 5.1

  // An element with attributes and children. SVG's have a colon before their name.
  const make = (name, attributes = {}, ...children) => {
    const svg = name.startsWith(":");
    const element = svg ? document.createElementNS(SVG, name.slice(1)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const text = (words, x, y, end = "middle") => make(":text", { x, y, "text-anchor": end }, words);
  const chart = (...parts) =>
    make(":svg", { viewBox: "0 0 200 122", class: "moving-chart", "aria-hidden": "true" },
      make(":path", { class: "moving-axes", d: "M26 8V92H198" }), ...parts);
  const few = (value) => (value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2));

  // (1 − α) α^age, and a line at the half-life.
  const weights = () => {
    const x = (age) => 26 + (age / OLDEST) * 164;
    const bars = make(":path", { class: "moving-bars" }), half = make(":path", { class: "moving-line moving-dashed" });
    const largest = text("", 30, 15, "start");
    const ages = [0, 20, 40, 60].map((age) => text(age, x(age), 103));
    const drawn = chart(bars, half, largest, ...ages, text("age of θ (stages)", 112, 118));
    const move = (alpha, life) => {
      const one = (age) => `M${x(age)} 92V${92 - 76 * alpha ** age}h1.8V92z`;
      bars.setAttribute("d", Array.from({ length: OLDEST }, (_, age) => one(age)).join(""));
      half.setAttribute("d", life <= OLDEST ? `M${x(life)} 92V20` : "");
      largest.textContent = `largest weight: ${few(1 - alpha)}`;
    };
    return { drawn, move };
  };

  // |H(ω)|² = (1 − α)² / (1 − 2α cos ω + α²)
  const gain = (alpha, omega) => (1 - alpha) ** 2 / (1 - 2 * alpha * Math.cos(omega) + alpha ** 2);
  const response = () => {
    const x = (omega) => 26 + (omega / Math.PI) * 166;
    const y = (power) => 8 + (Math.log(Math.max(power, FAINTEST)) / Math.log(FAINTEST)) * 84;
    const line = make(":path", { class: "moving-line" });
    const powers = [[1, "1"], [1e-2, "10⁻²"], [1e-4, "10⁻⁴"]].map(([power, words]) => text(words, 23, y(power) + 3, "end"));
    const turns = [["0", 0], ["π/2", Math.PI / 2], ["π", Math.PI]].map(([words, omega]) => text(words, x(omega), 103));
    const drawn = chart(line, ...powers, ...turns, text("frequency ω (rad per stage)", 112, 118));
    const move = (alpha) => {
      const omegas = Array.from({ length: 121 }, (_, k) => (k / 120) * Math.PI);
      line.setAttribute("d", omegas.map((w, k) => `${k ? "L" : "M"}${x(w).toFixed(1)} ${y(gain(alpha, w)).toFixed(1)}`).join(""));
    };
    return { drawn, move };
  };

  // The samples of one moment in the square.
  const square = (count, name) => {
    const dots = Array.from({ length: count }, () => make(":circle", { r: 3, class: `moving-dot moving-${name}` }));
    const frame = make(":rect", { class: "moving-frame", width: 200, height: 200 });
    const drawn = make(":svg", { viewBox: "0 0 200 200", class: "moving-square", "aria-hidden": "true" }, frame, ...dots);
    const move = (bytes) => dots.forEach((dot, k) => {
      const [x, y] = [bytes[2 * k], 255 - bytes[2 * k + 1]].map((byte) => ((byte / 255) * 200).toFixed(1));
      dot.setAttribute("style", `transform: translate(${x}px, ${y}px)`);
    });
    return { drawn, move };
  };

  const start = (container) => {
    const { alphas, moments, dots } = window.dfkd_ema;
    const places = Uint8Array.from(atob(dots), (letter) => letter.charCodeAt(0));
    const size = places.length / alphas.length / moments.length;
    const stored = (choice, moment) => places.subarray((choice * moments.length + moment) * size, (choice * moments.length + moment + 1) * size);

    const slider = make("input", { type: "range", min: 0, max: alphas.length - 1, value: alphas.indexOf(PAPERS) });
    const told = make("p", { class: "moving-told" });
    const [weighted, filtered] = [weights(), response()];
    const rows = ["orange", "blue"].map((name) => moments.map(() => square(size / 2, name)));
    const draw = () => {
      const alpha = alphas[slider.value];
      const life = alpha > 0 ? Math.log(0.5) / Math.log(alpha) : 0; // until a weight has halved, in stages
      const words = `α = ${alpha}: half-life ${few(life)} stages, mean age ${few(alpha / (1 - alpha))}; `
        + `power left at ω = π: ${few(100 * gain(alpha, Math.PI))} %.`;
      told.textContent = words;
      slider.setAttribute("aria-valuetext", words);
      weighted.move(alpha, life);
      filtered.move(alpha);
      rows.forEach((row, k) => row.forEach((one, moment) => one.move(stored(k * slider.value, moment))));
    };
    slider.addEventListener("input", draw);

    const figure = (words, drawn) => make("div", { class: "moving-half" }, make("p", { class: "moving-key" }, words), drawn);
    const names = moments.map((stage) => make("span", { class: "moving-key" }, `stage ${stage}`));
    const named = (words, row) => [make("span", { class: "moving-key" }, words), ...row.map((one) => one.drawn)];
    const table = make("div", { class: "moving-grid", role: "img" }, make("span"), ...names, ...named("G", rows[0]), ...named("EMA(G)", rows[1]));
    table.setAttribute("aria-label", "Samples of G, which jump from stage to stage, above samples of EMA(G), which follow them the more slowly the larger α is.");
    container.append(make("div", { class: "moving" },
      make("div", { class: "moving-all" }, make("label", {}, make("span", {}, "Momentum α"), slider), told),
      figure("Weights of past stages in EMA(G); dashed: half-life", weighted.drawn),
      figure("Power gain |H(ω)|² of the increments", filtered.drawn), table));
    container.classList.add("moving-on");
    draw();
  };

  addEventListener("DOMContentLoaded", () => {
    const containers = document.querySelectorAll("div.ema-slider");
    if (!containers.length) return;
    const script = make("script", { src: DATA });
    script.addEventListener("load", () => containers.forEach(start));
    document.head.append(script);
  });
})();
