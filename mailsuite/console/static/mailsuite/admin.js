// Labels, copy buttons, waiting for a look at DNS, and questions before what can't be undone. Everything else works without scripts.
(() => {
    // On narrow screens a row is two lines (admin.css). A value that does not speak for itself (a number, a time, a
    // single word) bears its column's name there, which the theme writes as the model does.
    const NOTHING = new Set(["", "-", "–"]);
    const speaks = (text) => !/^[\d<>+\-.:,%\s]+$/.test(text) && (/[@.]\S/.test(text) || text.split(/\s+/).length > 2);
    const markCell = (cell, isFirst) => {
        const text = cell.textContent.trim(), isDrawn = cell.querySelector("img, svg, .material-symbols-outlined");
        cell.dataset.label = cell.dataset.label.charAt(0).toUpperCase() + cell.dataset.label.slice(1);
        cell.classList.toggle("ms-none", NOTHING.has(text) && !isDrawn);
        cell.classList.toggle("ms-named", Boolean(isDrawn) || !speaks(text));
        cell.classList.toggle("ms-lead", isFirst);
    };
    const SHORT = 24;
    const markRow = (row) => {
        let isFirst = true, hasBadge = false;
        for (const cell of row.querySelectorAll(":scope > td[data-label]:not(.action-checkbox)")) {
            const isBadge = !hasBadge && Boolean(cell.querySelector(".ms-badge")) && cell.textContent.trim().length <= SHORT;
            hasBadge ||= isBadge;
            cell.classList.toggle("ms-corner", isBadge);
            markCell(cell, isFirst && !isBadge);
            isFirst &&= isBadge || cell.classList.contains("ms-none");
            if (isBadge) {
                row.style.setProperty("--ms-badge", `${cell.offsetWidth}px`);
            }
        }
    };
    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("#result_list tr.data-row").forEach(markRow);
        for (const cell of document.querySelectorAll("td[data-label], th[data-label]")) {
            cell.dataset.label = cell.dataset.label.charAt(0).toUpperCase() + cell.dataset.label.slice(1);
        }
    });
    const copy = async (text) => {
        if (navigator.clipboard && window.isSecureContext) {
            return navigator.clipboard.writeText(text);
        }
        // Plain HTTP by an address other than localhost: browsers keep the clipboard from us but for this old way.
        const area = document.createElement("textarea");
        area.value = text;
        area.style.position = "fixed";
        area.style.opacity = "0";
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
    };
    document.addEventListener("click", async (event) => {
        const button = event.target.closest("[data-copy]");
        if (!button) {
            return;
        }
        event.preventDefault();
        const label = button.querySelector("[data-label]");
        const before = label.textContent;
        try {
            await copy(document.getElementById(button.dataset.copy).textContent);
            label.textContent = "Copied";
        } catch {
            label.textContent = "Select and copy it yourself";
        }
        setTimeout(() => { label.textContent = before; }, 1500);
    });
    // Advice that names a chapter of the guide, as a command would, leads to it here.
    const CHAPTER = /deploy\/guide\/([a-z]+)\.md/;
    const leadToGuide = (text, guide) => {
        const match = CHAPTER.exec(text.data);
        if (!match || text.parentElement.closest("a, pre, code, textarea, script, .ms-guide")) {
            return;
        }
        const link = document.createElement("a"), rest = text.splitText(match.index);
        link.className = "ms-link";
        link.href = `${guide}${match[1]}/`;
        link.textContent = `the guide’s chapter “${match[1]}”`;
        rest.data = rest.data.slice(match[0].length);
        rest.before(link);
        leadToGuide(rest, guide);
    };
    document.addEventListener("DOMContentLoaded", () => {
        const main = document.querySelector("main[data-guide]"), texts = [];
        if (!main?.textContent.includes("deploy/guide/")) {
            return;
        }
        const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            texts.push(walk.currentNode);
        }
        texts.forEach((text) => leadToGuide(text, main.dataset.guide));
    });
    // What the theme draws as something to press is a button for the keyboard too, and says what it is. Pictures are
    // letters of a font, which nobody wants to hear.
    const PICTURE = ".material-symbols-outlined";
    const NAMES = {close: "Close the menu", mail: "Overview", more_horiz: "More", more_vert: "More", search: "Search"};
    const name = (control) => {
        const words = control.cloneNode(true), [picture] = words.querySelectorAll(PICTURE);
        const drawn = (picture || control).textContent.trim();
        words.querySelectorAll(PICTURE).forEach((one) => one.remove());
        if ((!picture || !words.textContent.trim()) && NAMES[drawn] && !control.title) {
            control.setAttribute("aria-label", NAMES[drawn]);
        }
    };
    const nameField = (field) => {
        if (!field.labels?.length && !field.hasAttribute("aria-label")) {
            const row = field.closest(".form-row, .field-line")?.querySelector("label, legend")?.textContent.trim();
            field.setAttribute("aria-label", [row, field.placeholder].filter(Boolean).join(": "));
        }
    };
    document.addEventListener("DOMContentLoaded", () => {
        for (const control of document.querySelectorAll("[x-on\\:click]:not(a[href], button, input, label)")) {
            // An empty one is the ground behind something open, which Escape and its own button close.
            if (control.textContent.trim()) {
                control.tabIndex = 0;
                control.setAttribute("role", "button");
            }
        }
        document.querySelectorAll("a, button, [role=button]").forEach(name);
        document.querySelectorAll(`${PICTURE}:not([role])`).forEach((one) => one.setAttribute("aria-hidden", "true"));
    });
    // The theme's own script has added fields by then.
    window.addEventListener("load", () => document.querySelectorAll("input:not([type=hidden])").forEach(nameField));
    document.addEventListener("keydown", (event) => {
        if ((event.key === "Enter" || event.key === " ") && event.target.matches("[role=button]:not(button, [href])")) {
            event.preventDefault();
            event.target.click();
        }
    });
    // A new password can be made here, and seen: whoever sets it for somebody else has to tell it.
    const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789", GROUPS = 5, GROUP = 4;
    const generate = () => Array.from({length: GROUPS}, () => {
        const drawn = crypto.getRandomValues(new Uint8Array(GROUP));
        return Array.from(drawn, (octet) => LETTERS[octet % LETTERS.length]).join("");
    }).join("-");
    const addButton = (row, label, press) => {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "ms-button";
        button.textContent = label;
        button.addEventListener("click", () => press(button));
        row.append(button);
        return button;
    };
    document.addEventListener("DOMContentLoaded", () => {
        for (const field of document.querySelectorAll("input[type=password][autocomplete=new-password]")) {
            const row = document.createElement("div");
            row.className = "ms-beside";
            const reveal = (visible) => {
                field.type = visible ? "text" : "password";
                show.textContent = visible ? "Hide" : "Show";
            };
            addButton(row, "Generate", () => {
                field.value = generate();
                reveal(true);
            });
            const show = addButton(row, "Show", () => reveal(field.type === "password"));
            addButton(row, "Copy", async (button) => {
                await copy(field.value);
                button.textContent = "Copied";
                setTimeout(() => { button.textContent = "Copy"; }, 1500);
            });
            field.after(row);
        }
    });
    // While somebody waits for a look at DNS: asks whether it is done, then takes over the new page's part.
    const waitForLook = async () => {
        const part = document.querySelector("#dns[data-running]");
        if (!part) {
            return;
        }
        try {
            const answer = await fetch(part.dataset.running, {headers: {Accept: "application/json"}});
            if (answer.ok && !(await answer.json()).running) {
                const page = await (await fetch(location.href)).text();
                part.replaceWith(new DOMParser().parseFromString(page, "text/html").getElementById("dns"));
            }
        } catch {
            // The next time, perhaps.
        }
        setTimeout(waitForLook, 1500);
    };
    setTimeout(waitForLook, 700);
    document.addEventListener("submit", (event) => {
        const question = event.target.dataset.confirm;
        if (question && !window.confirm(question)) {
            event.preventDefault();
        }
    });
})();
