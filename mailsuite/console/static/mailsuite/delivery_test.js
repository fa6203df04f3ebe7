// Shows the stages of a delivery test as they happen: asks for what is new until there is no more.
(() => {
    const list = document.getElementById("stages");
    if (!list || list.dataset.done === "yes") {
        return;
    }
    const running = document.getElementById("running");
    const ask = async (count, failures) => {
        let answer;
        try {
            const response = await fetch(`${list.dataset.more}?after=${count}`, { credentials: "same-origin" });
            if (!response.ok) {
                throw new Error(response.status);
            }
            answer = await response.json();
        } catch {
            if (failures >= 3) {
                running.textContent = "The connection broke. Reload the page to see more.";
                return;
            }
            setTimeout(() => ask(count, failures + 1), 1000);
            return;
        }
        list.insertAdjacentHTML("beforeend", answer.html);
        if (answer.done) {
            running.hidden = true;
            list.dataset.done = "yes";
        } else {
            ask(answer.count, 0);
        }
    };
    ask(Number(list.dataset.count), 0);
})();
