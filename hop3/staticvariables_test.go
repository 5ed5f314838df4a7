package hop3

import (
	"maps"
	"testing"
)

func TestStaticVariables(t *testing.T) {
	got, notes := StaticVariables(Env{
		"NGINX_STATIC_PATHS": "/static:public/, /media/:files", "CADDY_STATIC_PATHS": "/static:old /:www", "STATIC_PATHS": "/x:y",
	})
	want := map[string]string{"/static": "public", "/media": "files", "/": "www"}
	if !maps.Equal(got, want) || len(notes) != 0 {
		t.Errorf("%v, %q", got, notes)
	}
	for _, pair := range []string{"/a:../b", "/a:/etc", "a:b", "/a", "/a:", "/a/../b:c", "/a*:b", "/a:b\x00", ":"} {
		if got, notes := StaticVariables(Env{"NGINX_STATIC_PATHS": pair}); got != nil || len(notes) != 1 {
			t.Errorf("%q: %v, %q", pair, got, notes)
		}
	}
	if got, notes := StaticVariables(Env{}); got != nil || notes != nil {
		t.Errorf("%v, %q", got, notes)
	}
}
