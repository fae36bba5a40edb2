// Swagger UI for this server. No inline script: the policy of /docs allows files of this origin only.
const root = document.getElementById("swagger-ui");

const ui = SwaggerUIBundle({
  domNode: root,
  url: root.dataset.openapi,
  oauth2RedirectUrl: new URL(root.dataset.redirect, window.location.href).href,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  filter: true,
  // The access token stays in memory, like the web application's: it must not outlive the page.
  persistAuthorization: false,
  // Nothing is sent to a validator elsewhere.
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});

window.ui = ui;
