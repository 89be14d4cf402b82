// Search runs in a worker, which browsers refuse to pages that are opened from the disk: there, a hidden frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.early = []; // messages that came before the frame was there
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      frame.srcdoc = "<!doctype html>";
      frame.addEventListener("load", () => {
        const inside = frame.contentWindow;
        inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
        const script = inside.document.createElement("script");
        script.src = url;
        script.addEventListener("load", () => {
          const early = this.early;
          this.early = null;
          this.deliver = data => inside.dispatchEvent(new MessageEvent("message", { data }));
          early.forEach(this.deliver);
        });
        inside.document.head.append(script);
      }, { once: true });
      (document.body ?? document.documentElement).append(frame);
    }
    postMessage(data) {
      this.early ? this.early.push(data) : this.deliver(data);
    }
    terminate() {}
  };
}
