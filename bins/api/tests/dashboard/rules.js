// What axe finds in the page.
axe
  .run(document, {
    runOnly: {
      type: "tag",
      values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
    },
    // Off by itself, and part of WCAG 2.2 AA.
    rules: { "target-size": { enabled: true } },
    resultTypes: ["violations"],
    // Style sheets are not asked for a second time.
    preload: false,
  })
  .then(({ violations }) =>
    violations.map(({ id, impact, help, nodes }) => ({
      id,
      impact,
      help,
      nodes: nodes.map(({ target, failureSummary }) => ({ target: target.flat().join(" "), why: failureSummary })),
    })),
  )
