// The scoreboard: rows can be sorted and filtered, each has its losses drawn, and its command can be copied.
// Without this script the page shows two plain tables, the second one folded. Other pages have neither.
(() => {
  const SHOW = {
    run: "run",
    queued: "queued",
    command: "not run, with a command",
    blocked: "cannot be run",
    all: "everything",
  };
  const WIDTH = 100, EDGE = 10, LOWEST = -1, HIGHEST = 100, TICKS = [0, 1, 10, 100];
  // Nearly linear below one point, logarithmic above.
  const place = (lost) => {
    const [low, value, high] = [LOWEST, Math.min(Math.max(lost, LOWEST), HIGHEST), HIGHEST].map(Math.asinh);
    return EDGE + ((value - low) / (high - low)) * (WIDTH - 2 * EDGE);
  };

  function make(name, attributes = {}, ...content) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...content);
    return element;
  }

  function drawing(height, label) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const add = (name, attributes, text = "") => {
      const part = document.createElementNS(svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
      part.textContent = text;
      svg.append(part);
    };
    for (const [key, value] of Object.entries({ width: WIDTH, height, role: "img", "aria-label": label })) {
      svg.setAttribute(key, value);
    }
    return [svg, add];
  }

  function axis() {
    const [svg, add] = drawing(12, `Points lost, from ${TICKS[0]} to ${HIGHEST}`);
    for (const tick of TICKS) add("text", { x: place(tick), y: 10 }, tick);
    return svg;
  }

  // The paper's loss is hollow, ours is filled, with its interval. The line joins runs of the same networks.
  function dumbbell({ paper, ours, half, other }) {
    const said = [];
    if (paper !== undefined) said.push(`paper ${(+paper).toFixed(2)}`);
    if (ours !== undefined) said.push(`ours ${(+ours).toFixed(2)}`);
    const [svg, add] = drawing(16, `Points lost: ${said.join(", ") || "unknown"}`);
    const line = (name, from, to, y) => add("line", { class: name, x1: place(from), x2: place(to), y1: y, y2: y });
    for (const tick of TICKS) add("line", { class: "grid", x1: place(tick), x2: place(tick), y1: 0, y2: 16 });
    if (paper !== undefined && ours !== undefined && other === undefined) line("join", +paper, +ours, 8);
    if (half !== undefined) line("range", +ours - +half, +ours + +half, 8);
    if (ours !== undefined) add("circle", { class: "ours", cx: place(+ours), cy: 8, r: 4 });
    if (paper !== undefined) add("circle", { class: "paper", cx: place(+paper), cy: 8, r: 4 });
    return svg;
  }

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = make("textarea", { "aria-hidden": "true" }, text);
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  // What a column is sorted by: a number of the row, or the text of its cell.
  const KEYS = { n: "n", "lost, drawn": "ours" };
  function key(row, column, title) {
    if (title.startsWith("ours −")) {
      const { paper, ours, other } = row.dataset;
      return paper === undefined || ours === undefined || other !== undefined ? undefined : ours - paper;
    }
    if (title.endsWith("(%)")) {
      const shown = parseFloat(row.cells[column].textContent);
      return Number.isNaN(shown) ? undefined : shown;
    }
    const value = row.dataset[KEYS[title]];
    return title in KEYS ? value && +value : row.cells[column].textContent;
  }

  function enhance(board) {
    const [main, more] = board.querySelectorAll("table.scoreboard");
    const rest = board.querySelector("details.scoreboard-rest");
    const groups = new Map();
    for (const body of [...main.tBodies, ...(more ? more.tBodies : [])]) {
      const title = body.rows[0].textContent;
      if (groups.has(title)) groups.get(title).append(...[...body.rows].slice(1));
      else main.append(body), groups.set(title, body);
    }
    if (rest) rest.remove();
    const bodies = [...groups.values()];
    const rows = bodies.flatMap((body) => [...body.rows].slice(1));
    const heads = [...main.tHead.rows[0].cells];
    const last = heads.length - 1;

    // Search and status.
    const show = make("select");
    const count = (status) => (status === "all" ? rows : rows.filter((row) => row.dataset.status === status)).length;
    for (const [status, text] of Object.entries(SHOW)) {
      show.append(make("option", { value: status }, `${text} (${count(status)})`));
    }
    show.value = main.dataset.show;
    const words = make("input", { type: "search", size: 14, placeholder: "mad cifar100" });
    const said = make("span", { role: "status" });
    function filter() {
      const wanted = words.value.toLowerCase().split(/\s+/);
      let seen = 0;
      for (const body of bodies) {
        let some = false;
        for (const row of [...body.rows].slice(1)) {
          const text = `${body.rows[0].textContent} ${row.textContent}`.toLowerCase();
          const fits = show.value === "all" || row.dataset.status === show.value;
          row.hidden = !(fits && wanted.every((word) => text.includes(word)));
          some ||= !row.hidden;
          seen += !row.hidden;
        }
        body.hidden = !some;
      }
      said.textContent = `${seen} of ${rows.length} rows`;
    }
    show.addEventListener("change", filter);
    words.addEventListener("input", filter);
    const legend = make("span", {}, "○ paper, ● ours: points lost to the teacher");
    const tools = [make("label", {}, "Show", show), make("label", {}, "Filter", words), said, legend];
    board.prepend(make("div", { class: "scoreboard-tools" }, ...tools));

    // A drawing in each row, and a button for its command.
    const drawn = make("th", { scope: "col" }, "lost, drawn");
    heads[last].before(drawn);
    heads.splice(last, 0, drawn);
    for (const body of bodies) body.rows[0].cells[0].colSpan = heads.length;
    for (const row of rows) {
      const { command } = row.dataset, record = row.cells[last];
      record.before(make("td", {}, dumbbell(row.dataset)));
      if (!command) continue;
      const code = record.querySelector("code");
      if (code) code.remove();
      const label = `Copy the command of ${row.cells[0].textContent}, ${row.cells[1].textContent}`;
      const button = make("button", { type: "button", class: "copy-command", title: command, "aria-label": label }, "copy");
      button.addEventListener("click", async () => {
        const done = await copied(command);
        button.focus();
        said.textContent = done ? `copied: ${command}` : command;
      });
      record.append(button);
    }

    // Sorting keeps the groups; unknown values stay last.
    heads.forEach((head, column) => {
      const title = head.textContent;
      if (column === heads.length - 1) return;
      const button = make("button", { type: "button" }, title);
      head.replaceChildren(button);
      if (head === drawn) head.append(axis());
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sign = down ? -1 : 1;
        for (const body of bodies) {
          const keyed = [...body.rows].slice(1).map((row) => [key(row, column, title), row]);
          keyed.sort(([a], [b]) => {
            if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
            return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
          });
          body.append(...keyed.map(([, row]) => row));
        }
      });
    });
    filter();
  }

  const start = () => document.querySelectorAll("div.scoreboard").forEach(enhance);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", start);
  else start();
})();
