// The OpenAPI document for people.

import { getJson } from "./api.js";
import { element } from "./dom.js";

const described = await getJson("api/openapi.json");

function resolved(schema) {
  return schema?.$ref ? described.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  return [schema.type, schema.format && `(${schema.format})`].filter(Boolean).join(" ");
}

/** Text in which `this` is code. */
function prose(text) {
  return text.split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part));
}

function notes(...parts) {
  return prose(parts.filter(Boolean).join("; "));
}

function limits({ minimum, maximum, maxLength, pattern }) {
  if (minimum !== undefined && maximum !== undefined) return `${minimum} to ${maximum}`;
  if (minimum !== undefined) return `at least ${minimum}`;
  if (maxLength !== undefined) return `at most ${maxLength} characters`;
  return pattern && `matches \`${pattern}\``;
}

function byDefault({ default: value }) {
  return value !== undefined && value !== "" && `default \`${JSON.stringify(value)}\``;
}

function table(title, rows) {
  if (rows.length === 0) return null;
  return [element("h3", {}, title), element("table", {}, rows.map((cells) => element("tr", {}, cells.map(cell))))];
}

function cell(content, column) {
  return element("td", {}, column === 0 ? element("code", {}, content) : content);
}

function fieldRows(schema) {
  return Object.entries(resolved(schema)?.properties ?? {}).map(([name, field]) => [
    name,
    typeName(field),
    notes(byDefault(field), limits(field), field.description),
  ]);
}

function parameterRow({ name, in: place, required, schema, description }) {
  const facts = notes(required && "required", byDefault(schema), limits(schema), description);
  return [name, `${typeName(schema)}, in the ${place}`, facts];
}

function responseRow([status, { description, content = {} }]) {
  const kinds = Object.entries(content).map(([type, { schema }]) => `${type} ${typeName(schema)}`);
  return [status, prose(description), kinds.join(", ")];
}

function operation(path, method, { description, summary, parameters = [], requestBody, responses }) {
  const body = requestBody?.content["application/json"]?.schema;
  return element(
    "article",
    {},
    element("h2", {}, element("code", {}, `${method.toUpperCase()} ${path}`)),
    (description ?? summary).split("\n\n").map((paragraph) => element("p", {}, prose(paragraph))),
    table("Parameters", parameters.map(parameterRow)),
    body && table("Body", fieldRows(body)),
    table("Answers", Object.entries(responses).map(responseRow)),
  );
}

function schemaArticle([name, schema]) {
  return element(
    "section",
    { id: name },
    element("h2", {}, element("code", {}, name)),
    schema.description && element("p", {}, prose(schema.description)),
    table("Fields", fieldRows(schema)),
  );
}

document.getElementById("view").replaceChildren(
  element("h1", {}, described.info.title),
  element("p", {}, described.info.summary),
  ...Object.entries(described.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, details]) => operation(path, method, details)),
  ),
  element("h1", {}, "Objects"),
  ...Object.entries(described.components.schemas).map(schemaArticle),
);
