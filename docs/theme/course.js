// What Doxygen's pages lack for people who use a keyboard or a screen reader.
document.addEventListener("DOMContentLoaded", () => {
    const set = (selector, attributes) => {
        for (const element of document.querySelectorAll(selector))
            for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    };
    set("#doc-content", { role: "main", tabindex: "-1" });
    set("#side-nav", { role: "navigation", "aria-label": "Pages" });
    set("#main-nav", { role: "navigation", "aria-label": "Menu" });
    // What is wider than a phone is scrolled, and a keyboard can only scroll what it can reach.
    set("div.memproto, div.memdoc tbody, div.contents > table tbody, div.textblock > table tbody, div.fragment, pre.fragment, td.memItemRight, td.memTemplItemRight", { tabindex: "0" });

    // The menu and the switch for light and dark are made when the page is there.
    $(() => $(() => setTimeout(() => {
        set(".sm-dox:has(> #main-menu-state)", { role: "navigation", "aria-label": "Search and menu" });
        set("#main-menu-state", { "aria-label": "Menu" });
        set(".main-menu-btn", { "aria-hidden": "true" });
        for (const toggle of document.querySelectorAll("doxygen-awesome-dark-mode-toggle")) {
            toggle.setAttribute("role", "button");
            toggle.setAttribute("tabindex", "0");
            toggle.setAttribute("aria-label", "Light or dark");
            toggle.addEventListener("keydown", event => {
                if (event.key !== "Enter" && event.key !== " ") return;
                event.preventDefault();
                toggle.click();
            });
        }
    })));

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
