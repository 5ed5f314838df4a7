package tests

import (
	"go/ast"
	"reflect"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/manifest"
)

// undeclared are fields of what a manifest declares that nothing but the
// manifest's reader mentions, and why.
var undeclared = map[string]string{
	"StaticDir": "read by BuildOptions.Static",
}

// TestNoDeadDeclarations looks for each field that a manifest is read into in
// the code of the packages that act on it. TestNoDeadKeys of hop3/manifest sees
// to it that every key gets into such a field.
func TestNoDeadDeclarations(t *testing.T) {
	mentioned := map[string]bool{}
	for _, p := range readSources(t, "..") {
		if p.dir == "hop3" || p.dir == "hop3/manifest" || p.dir == "hop3/store" || strings.HasPrefix(p.dir, "hop3/hop3test") || strings.HasPrefix(p.dir, "tests") {
			continue
		}
		for _, f := range p.files {
			if strings.HasSuffix(f.name, "_test.go") {
				continue
			}
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					mentioned[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	fields := map[string]bool{}
	collectFields(reflect.TypeFor[manifest.Manifest](), fields)
	for name := range fields {
		switch reason := undeclared[name]; {
		case reason == "" && !mentioned[name]:
			t.Errorf("a manifest declares %s, and nothing acts on it: use it, or say in undeclared why not", name)
		case reason != "" && mentioned[name]:
			t.Errorf("%s is used by now: it needs no reason (%s)", name, reason)
		}
	}
}

// collectFields adds the exported fields of a type, and of what they are made
// of.
func collectFields(t reflect.Type, into map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		collectFields(t.Elem(), into)
	case reflect.Map:
		collectFields(t.Elem(), into)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				into[f.Name] = true
				collectFields(f.Type, into)
			}
		}
	}
}
