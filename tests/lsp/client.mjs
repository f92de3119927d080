// Drives a language server with Microsoft's client library, and prints what it saw as JSON.
// Arguments: a folder with node_modules, and the server's command.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, ...command] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const lsp = require("vscode-languageserver-protocol/node");

const uri = "file:///work/zoo/src/Gorilla0.java";
const line = " * 😀 A Gorilla0 that lives"; // columns as JavaScript counts: UTF-16
const text = `/**\r\n${line}\r\n */\r\n`;

const server = spawn(command[0], command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
const connection = lsp.createProtocolConnection(
  new lsp.StreamMessageReader(server.stdout),
  new lsp.StreamMessageWriter(server.stdin),
);
const seen = { messages: [] };
connection.onNotification(lsp.ShowMessageNotification.type, ({ type, message }) =>
  seen.messages.push([type, message]),
);
connection.onNotification(lsp.LogMessageNotification.type, () => {});
connection.onRequest(lsp.RegistrationRequest.type, ({ registrations }) => {
  seen.registered = registrations.map(({ method }) => method);
});
connection.onRequest(lsp.ConfigurationRequest.type, ({ items }) => {
  seen.sections = items.map(({ scopeUri, section }) => [scopeUri ?? null, section]);
  return items.map(() => ({ candidates: "many", until: null }));
});
connection.listen();

const { capabilities } = await connection.sendRequest(lsp.InitializeRequest.type, {
  processId: process.pid,
  rootUri: null,
  workspaceFolders: [{ uri: "file:///work/zoo", name: "zoo" }],
  capabilities: {
    workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } },
    textDocument: { inlineCompletion: {} },
  },
});
seen.capabilities = capabilities;
await connection.sendNotification(lsp.InitializedNotification.type, {});
await connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, {
  textDocument: { uri, languageId: "java", version: 1, text },
});

const position = { line: 1, character: line.length };
const context = { triggerKind: lsp.InlineCompletionTriggerKind.Invoked };
const asked = { textDocument: { uri }, position, context };
seen.inline = await connection.sendRequest(lsp.InlineCompletionRequest.type, asked);
seen.popup = await connection.sendRequest(lsp.CompletionRequest.type, {
  textDocument: { uri },
  position,
});

// An editor that types along with what it is shown, and one that takes a request back.
await connection.sendNotification(lsp.DidChangeTextDocumentNotification.type, {
  textDocument: { uri, version: 2 },
  contentChanges: [{ range: { start: position, end: position }, text: " in" }],
});
asked.position = { line: 1, character: line.length + 3 };
seen.typedAlong = await connection.sendRequest(lsp.InlineCompletionRequest.type, asked);

const long = { uri: "file:///work/zoo/src/Long.java", languageId: "java", version: 1 };
await connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, {
  textDocument: { ...long, text: "    private final String habitat = null;\n".repeat(50000) },
});
const source = new lsp.CancellationTokenSource();
const much = { textDocument: { uri: long.uri }, position: { line: 50000, character: 0 }, context };
const takenBack = connection.sendRequest(lsp.InlineCompletionRequest.type, much, source.token);
source.cancel();
seen.cancelled = await takenBack.then(
  () => "answered",
  (error) => error.code === lsp.LSPErrorCodes.RequestCancelled,
);

await connection.sendRequest(lsp.ShutdownRequest.type);
const ended = new Promise((resolve) => server.on("exit", (code) => resolve(code)));
await connection.sendNotification(lsp.ExitNotification.type);
seen.exitCode = await ended;
console.log(JSON.stringify(seen));
