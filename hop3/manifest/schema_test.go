package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/hop3.toml.json anew")

// TestSchema keeps the schema that editors have in step with the readers: with
// -update it is written anew.
func TestSchema(t *testing.T) {
	const golden = "testdata/hop3.toml.json"
	if *update {
		if err := os.WriteFile(golden, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := Schema(); !bytes.Equal(got, want) {
		t.Errorf("%s is not what the sections are now: go test ./hop3/manifest -run Schema -update, and look at the change.\n%s", golden, got)
	}
}

// Every key is described, and nothing that is no key.
func TestDescriptions(t *testing.T) {
	var root shape
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(descriptions)
	var visit func(s *shape, path string)
	visit = func(s *shape, path string) {
		for key, sub := range s.Properties {
			at := key
			if path != "" {
				at = path + "." + key
			}
			if delete(left, at); descriptions[at] == "" {
				t.Errorf("nothing says what %s is", at)
			}
			visit(sub, at)
			if sub.Items != nil {
				visit(sub.Items, at)
			}
			if rest, ok := sub.Rest.(map[string]any); ok {
				text, _ := json.Marshal(rest)
				var named shape
				if err := json.Unmarshal(text, &named); err != nil {
					t.Fatal(err)
				}
				for _, one := range append(named.AnyOf, &named) {
					visit(one, at+".*")
				}
			}
		}
	}
	visit(&root, "")
	for _, at := range slices.Sorted(maps.Keys(left)) {
		t.Errorf("%s is described and is no key", at)
	}
}
