package manifest

import (
	"encoding/json"
	"strings"
)

// schemaID names the description of hop3.toml, and schemaDialect its language.
const (
	schemaID      = "https://hop3.cloud/schema/hop3.toml.json"
	schemaDialect = "https://json-schema.org/draft/2020-12/schema"
)

// Schema describes hop3.toml in the words of JSON Schema, for editors. It is
// what the readers of the sections say they expect when they read nothing.
func Schema() []byte {
	root := shapeOf(func(t *table) {
		r := &reading{table: t, manifest: &Manifest{}, processes: &processes{}}
		for _, s := range sections {
			s.read(r)
		}
		t.done()
	})
	describe(root, "")
	text, err := json.MarshalIndent(struct {
		Dialect string `json:"$schema"`
		ID      string `json:"$id"`
		Title   string `json:"title"`
		*shape
	}{schemaDialect, schemaID, "hop3.toml", root}, "", "  ")
	if err != nil {
		panic("manifest: the schema is no JSON: " + err.Error()) // it is made of strings and numbers
	}
	return append(text, '\n')
}

// describe gives each key the sentence there is about it.
func describe(s *shape, path string) {
	for key, sub := range s.Properties {
		at := strings.TrimPrefix(path+"."+key, ".")
		sub.Description = descriptions[at]
		describe(sub, at)
		if sub.Items != nil {
			describe(sub.Items, at)
		}
		if rest, ok := sub.Rest.(*shape); ok {
			describeRest(rest, at)
		}
	}
}

// describeRest describes what a table holds under names that are the app's.
func describeRest(s *shape, path string) {
	describe(s, path+".*")
	for _, one := range s.AnyOf {
		describe(one, path+".*")
	}
}
