// What Doxygen's pages lack for people who use a keyboard or a screen reader.
document.addEventListener("DOMContentLoaded", () => {
    const label = (selector, words) => {
        for (const element of document.querySelectorAll(selector)) {
            if (!element.getAttribute("aria-label")) element.setAttribute("aria-label", words);
        }
    };
    const search = document.getElementById("MSearchField");
    if (search) {
        search.setAttribute("aria-label", "Search the course");
        search.setAttribute("type", "search");
    }
    label("#MSearchResults", "Search results");
    label("#side-nav", "Pages");
    const tree = document.getElementById("side-nav");
    if (tree) tree.setAttribute("role", "navigation");
    const content = document.getElementById("doc-content");
    if (content) {
        content.setAttribute("role", "main");
        content.setAttribute("tabindex", "-1");
    }

    // On a phone the table of contents would fill the screen: it opens when its title is pressed.
    const contents = document.querySelector(".toc");
    if (contents && window.matchMedia("(max-width: 767px)").matches) {
        const title = contents.querySelector("h2");
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = title.textContent + " ▾";
        button.setAttribute("aria-expanded", "false");
        title.replaceChildren(button);
        contents.classList.add("folded");
        button.addEventListener("click", () => {
            const folded = contents.classList.toggle("folded");
            button.setAttribute("aria-expanded", String(!folded));
        });
    }

    // A button that copies the commands of a transcript, without prompts and answers.
    for (const block of document.querySelectorAll("pre.text")) {
        const commands = [...block.querySelectorAll(".command")].map(line => line.textContent);
        if (commands.length === 0 || !navigator.clipboard) continue;
        const button = document.createElement("button");
        button.className = "copy";
        button.type = "button";
        button.textContent = "copy";
        button.title = "Copy the commands";
        button.addEventListener("click", () => {
            navigator.clipboard.writeText(commands.join("\n") + "\n").then(() => {
                button.textContent = "copied";
                setTimeout(() => { button.textContent = "copy"; }, 1500);
            });
        });
        block.parentNode.classList.add("with-copy");
        block.insertAdjacentElement("afterbegin", button);
    }
});
