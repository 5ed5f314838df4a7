package manifest_test

import (
	"reflect"
	"testing"

	"github.com/abilian/hop3/hop3"
)

func TestAddons(t *testing.T) {
	none := map[string][]string{}
	for text, want := range map[string][]hop3.AddonRequest{
		"[[addons]]\ntype = \"postgres\"\nextensions = [\"citext\"]":            {{Type: "postgres", Options: map[string][]string{"extensions": {"citext"}}}},
		"[[addons]]\ntype = \"redis\"\nname = \"cache\"\ndedicated = true":      {{Type: "redis", Name: "cache", Dedicated: true, Options: none}},
		"[[addons]]\nname = \"mysql\"":                                          {{Type: "mysql", Options: none}},
		"[[provider]]\ntype = \"s3\"":                                           {{Type: "s3", Options: none}},
		"[[provider]]\ntype = \"s3\"\n[[addons]]\ntype = \"redis\"":             {{Type: "redis", Options: none}},
		"[[addons]]\ntype = \"memcached\"\nsize = 64\neviction = [\"a\",\"b\"]": {{Type: "memcached", Options: map[string][]string{"size": {"64"}, "eviction": {"a", "b"}}}},
	} {
		m, err := load(t, map[string]string{"hop3.toml": text})
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		if !reflect.DeepEqual(m.Addons, want) {
			t.Errorf("%s\nis  %+v\nwant %+v", text, m.Addons, want)
		}
	}
}

func TestAddonsOfAppJSON(t *testing.T) {
	m, err := load(t, map[string]string{"app.json": `{"addons": ["heroku-postgresql:mini", {"plan": "heroku-redis:mini"}, "rediscloud"]}`})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Addons) != 2 || m.Addons[0].Type != "postgres" || m.Addons[1].Type != "redis" {
		t.Errorf("%+v", m.Addons)
	}
}
