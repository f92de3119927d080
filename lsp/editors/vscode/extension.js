// Starts `foretype lsp` and lets VS Code show its inline completions.

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const [command, ...args] = vscode.workspace.getConfiguration("foretype").get("command");
  client = new LanguageClient(
    "foretype",
    "Foretype",
    { command, args },
    {
      documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
      // The popup's items are for editors without inline completion.
      middleware: { provideCompletionItem: () => [] },
    },
  );
  try {
    await client.start();
  } catch (error) {
    vscode.window.showErrorMessage(`Foretype does not start: ${error.message}`);
  }
}

async function stop() {
  // A client that failed to start cannot be stopped, and leaves nothing to stop.
  await client?.stop().catch(() => {});
}

async function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("foretype.restart", async () => {
      await stop();
      await start();
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
