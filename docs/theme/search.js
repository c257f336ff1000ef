// The search. Doxygen's finds only what begins with the words, in no order of use; its pages make a SearchBox and call
// init_search() when the field is there, and these are ours. What is to be found is in search-index.js, by `./course docs`:
// [title, page#place, where, weight, "word word:times …"].
class SearchBox {
    constructor() {
        this.list = document.createElement("ul");
        this.list.id = "found";
        this.list.setAttribute("role", "listbox");
        this.list.setAttribute("aria-label", "Found");
        this.list.hidden = true;
        this.status = document.createElement("p");
        this.status.id = "found-status";
        this.status.setAttribute("role", "status");
        this.chosen = -1;
    }

    // The menu puts the field in anew when a window becomes narrow, so it is looked up each time.
    get field() { return document.getElementById("MSearchField"); }

    begin() {
        document.getElementById("MSearchSelectWindow")?.remove();
        document.getElementById("MSearchResultsWindow")?.remove();
        document.getElementById("top").append(this.list, this.status);
        this.prepareField();
        window.addEventListener("resize", () => { this.prepareField(); this.close(); });
        document.addEventListener("input", event => { if (event.target === this.field) this.show(); });
        document.addEventListener("keydown", event => this.onKey(event));
        document.addEventListener("pointerdown", event => {
            if (!this.list.contains(event.target) && event.target !== this.field) this.close();
        });
    }

    prepareField() {
        const field = this.field;
        if (!field || field.getAttribute("role")) return;
        field.value = "";
        for (const [name, value] of Object.entries({
            type: "search", placeholder: "Search", autocomplete: "off", role: "combobox", "aria-label": "Search the course",
            "aria-controls": "found", "aria-expanded": "false", "aria-autocomplete": "list"
        })) field.setAttribute(name, value);
    }

    loadIndex() {
        this.index ??= new Promise(resolve => {
            // A script and no request: the pages are read from a folder as well as from a server.
            const script = document.createElement("script");
            script.src = "search-index.js";
            script.onload = () => resolve(searchIndex.map(([title, target, scope, weight, text]) => ({
                title, target, scope, weight, lower: title.toLowerCase(), words: wordsOf(title),
                text: new Map(text ? text.split(" ").map(each => {
                    const [word, times] = each.split(":");
                    return [word, Number(times ?? 1)];
                }) : [])
            })));
            document.head.append(script);
        });
        return this.index;
    }

    async show() {
        const query = this.field.value.trim().toLowerCase();
        const index = await this.loadIndex();
        if (query !== this.field.value.trim().toLowerCase()) return;
        if (!query) return this.close();
        const found = ranked(index, query).slice(0, 14);
        this.list.replaceChildren(...found.map(({ entry }, number) => this.item(entry, number)));
        this.status.textContent = found.length === 0
            ? "Nothing here has these words. Try one of them alone, or look into the glossary."
            : `${found.length} found`;
        this.status.classList.toggle("nothing", found.length === 0);
        this.list.hidden = found.length === 0;
        this.field.setAttribute("aria-expanded", String(found.length > 0));
        const below = this.field.getBoundingClientRect().bottom + 8;
        this.list.style.top = this.status.style.top = `${below}px`;
        this.choose(found.length ? 0 : -1);
    }

    item(entry, number) {
        const item = document.createElement("li");
        item.id = `found-${number}`;
        item.setAttribute("role", "option");
        const link = document.createElement("a");
        link.href = entry.target;
        link.tabIndex = -1;
        const title = document.createElement("strong");
        title.textContent = entry.title;
        link.append(title, entry.scope ? ` ${entry.scope}` : "");
        link.addEventListener("click", () => this.close());
        item.append(link);
        return item;
    }

    choose(number) {
        const items = [...this.list.children];
        this.chosen = items.length ? (number + items.length) % items.length : -1;
        items.forEach((item, i) => item.setAttribute("aria-selected", String(i === this.chosen)));
        if (this.chosen < 0) return this.field.removeAttribute("aria-activedescendant");
        this.field.setAttribute("aria-activedescendant", items[this.chosen].id);
        items[this.chosen].scrollIntoView({ block: "nearest" });
    }

    close() {
        this.list.hidden = true;
        this.status.textContent = "";
        this.status.classList.remove("nothing");
        this.field?.setAttribute("aria-expanded", "false");
        this.field?.removeAttribute("aria-activedescendant");
    }

    onKey(event) {
        const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
        if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
            event.preventDefault();
            return this.field.focus();
        }
        if (event.target !== this.field) return;
        const open = !this.list.hidden;
        if (event.key === "Escape") {
            this.close();
        } else if (event.key === "Tab") {
            this.close();
        } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
            event.preventDefault();
            this.choose(this.chosen + (event.key === "ArrowDown" ? 1 : -1));
        } else if (open && event.key === "Enter" && this.chosen >= 0) {
            event.preventDefault();
            this.list.children[this.chosen].firstChild.click();
        }
    }

    // What the field that the menu makes calls.
    OnSearchFieldFocus(active) {
        this.prepareField();
        document.getElementById("MSearchBox").className = active ? "MSearchBoxActive" : "MSearchBoxInactive";
        if (active) this.loadIndex();
    }
    OnSearchFieldChange() {}
    OnSearchSelectShow() {}
    OnSearchSelectHide() {}
    CloseResultsWindow() { this.close(); }
}

function init_search() { searchBox.begin(); }

// Latin words, and Chinese as one piece.
function wordsOf(text) { return text.toLowerCase().match(/[a-z0-9_]+|[^\x00-\x7f]+/g) ?? []; }

// What a page is called counts most, then what a section is called, then how often it has the word.
function scoreOf(entry, word) {
    let score = entry.words.includes(word) ? 10
        : entry.words.some(each => each.startsWith(word)) ? 7
        : word.length > 2 && entry.lower.includes(word) ? 4 : 0;
    let times = entry.text.get(word) ?? 0;
    if (!times && word.length > 2)
        for (const [each, number] of entry.text) if (each.startsWith(word)) times = Math.max(times, number / 2);
    return score + (times ? 2 + Math.min(times, 12) / 2 : 0);
}

function ranked(index, query) {
    const words = wordsOf(query), found = [];
    for (const entry of index) {
        let score = 0;
        for (const word of words) {
            const one = scoreOf(entry, word);
            if (!one) { score = 0; break; }
            score += one;
        }
        if (!score) continue;
        if (entry.lower === query) score += 6;
        else if (entry.lower.startsWith(query)) score += 3;
        found.push({ entry, score: score / words.length * entry.weight });
    }
    // No page fills the list alone.
    const shown = new Map();
    return found.sort((a, b) => b.score - a.score).filter(({ entry }) => {
        const page = entry.target.replace(/#.*/, "");
        shown.set(page, (shown.get(page) ?? 0) + 1);
        return shown.get(page) <= 4;
    });
}
