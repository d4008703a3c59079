// The API page: everything comes from this origin, and calls go to it.
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#api',
  validatorUrl: null, // no badge of somebody else's server
  docExpansion: 'none',
  defaultModelsExpandDepth: -1,
  deepLinking: true,
  filter: true,
  displayRequestDuration: true,
  persistAuthorization: true,
});
