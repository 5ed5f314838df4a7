// Package pages is what all pages of a server look like: one head, one style,
// light and dark.
package pages

import (
	_ "embed"
	"html/template"
)

//go:embed style.css
var style string

const frame = `{{define "head"}}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{.}}</title>
<style>
`

// Parse reads the template of a page, which begins with {{template "head"
// TITLE}} and goes on with the body.
func Parse(name, text string) (*template.Template, error) {
	t, err := template.New(name).Parse(frame + style + "</style>\n</head>\n{{end}}")
	if err != nil {
		return nil, err
	}
	return t.Parse(text)
}

// Policy is the Content-Security-Policy of a page without forms: there is
// nothing on it but itself.
const Policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// FormPolicy is Policy of a page whose forms go to where it comes from.
const FormPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
