/*
 * What is ours of the reference page. All addresses are relative, so that it works below any path prefix of a proxy.
 */

/** The page. @param assets where its files are, as seen from the page, with a slash at the end */
export const docsHtml = (assets: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>prefect-proxy API</title>
<link rel="icon" type="image/png" href="${assets}favicon-32x32.png">
<link rel="stylesheet" href="${assets}swagger-ui.css">
<link rel="stylesheet" href="${assets}docs.css">
</head>
<body>
<noscript>This page needs JavaScript; the API description is at /openapi.json.</noscript>
<main id="docs"></main>
<script src="${assets}swagger-ui-bundle.js"></script>
<script src="${assets}docs.js"></script>
</body>
</html>
`;

/** Starts the page. A file of its own: the content security policy lets no script stand in the page. */
export const DOCS_JS = `SwaggerUIBundle({
  url: new URL('../../openapi.json', document.currentScript.src).href,
  dom_id: '#docs',
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: 'list',
  // The schemas are shown where they are used.
  defaultModelsExpandDepth: -1,
  defaultModelExpandDepth: 3,
  validatorUrl: null,
});
`;

/** There is one server, one media type a reply and no links: what would choose among them is not shown. */
export const DOCS_CSS = `body { margin: 0; }
.swagger-ui .info { margin: 24px 0; }
.swagger-ui .info hgroup.main { margin: 0 0 12px; }
.swagger-ui .scheme-container { margin: 0 0 12px; padding: 12px 0; }
.swagger-ui .scheme-container .schemes > .schemes-server-container,
.swagger-ui .responses-table .response-controls,
.swagger-ui .responses-table .response-col_links { display: none; }
.swagger-ui .schemes.wrapper { justify-content: flex-end; }
.swagger-ui .dialog-ux .modal-ux .modal-ux-content { max-height: 80vh; }
.swagger-ui .opblock-tag small { padding: 0 10px; }
@media (max-width: 640px) {
  .swagger-ui .opblock-tag { flex-wrap: wrap; }
  .swagger-ui .opblock-tag small { order: 1; flex-basis: 100%; padding: 4px 0 0; }
  .swagger-ui .opblock-tag > button { margin-left: auto; }
}
.swagger-ui .parameters-col_description input[type='text'] { width: 100%; max-width: 400px; box-sizing: border-box; }
`;
