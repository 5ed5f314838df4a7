package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/client"
	"github.com/abilian/hop3/hop3/platform"
)

// holder is a type of addons that hold as many bytes as their names say, and of
// which some cannot be read to the end. What a real one does is for the story of
// addons in tests: none has 100 MB in it, or breaks at will.
type holder struct {
	hop3.AddonProvider
	restored *counter
}

func (holder) Name() string                                                { return "holder" }
func (holder) Plan(context.Context, hop3.Addon) (hop3.AddonDetails, error) { return nil, nil }
func (holder) Create(context.Context, hop3.Addon) error                    { return nil }
func (holder) DumpSuffix() string                                          { return ".bin" }
func (h holder) Restore(_ context.Context, a hop3.Addon, r io.Reader) error {
	if a.Name == "refused" {
		return hop3.Errorf(hop3.CodeInvalid, "this is no dump")
	}
	_, err := io.Copy(h.restored, r)
	return err
}
func (holder) Inventory(context.Context, hop3.Addon) (held hop3.Inventory, err error) {
	return nil, nil
}

func (holder) Dump(_ context.Context, a hop3.Addon, w io.Writer) (hop3.Inventory, error) {
	piece := []byte(strings.Repeat("x", 1<<20))
	switch a.Name {
	case "refused":
		return nil, hop3.Errorf(hop3.CodeUnavailable, "its server does not answer")
	case "broken":
		_, err := w.Write(piece)
		return nil, errors.Join(err, errors.New("its server has died"))
	}
	for range 100 {
		if _, err := w.Write(piece); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestAddonDataOfAnySize(t *testing.T) {
	w := newWorld(t)
	var restored counter
	w.platform.Providers = []hop3.AddonProvider{holder{restored: &restored}}
	for _, name := range []string{"large", "refused", "broken"} {
		_, err := w.platform.CreateAddon(t.Context(), platform.Actor{Admin: true}, hop3.AddonRequest{Type: "holder", Name: name}, hop3.Discard)
		must(t, err)
	}
	export := func(token, name string) (int64, error) {
		t.Helper()
		c, err := client.New(client.Config{URL: w.server.URL, Token: token})
		must(t, err)
		var got counter
		err = c.Export(t.Context(), "holder", name, &got)
		return int64(got), err
	}
	imported := func(token, name string) error {
		t.Helper()
		c, err := client.New(client.Config{URL: w.server.URL, Token: token})
		must(t, err)
		return c.Import(t.Context(), "holder", name, &client.Archive{Content: io.LimitReader(zeros{}, 200<<20), Size: 200 << 20})
	}
	if err := imported(w.admin, "large"); restored != 200<<20 || err != nil {
		t.Errorf("of 200 MB came %d bytes, %v", restored, err)
	}
	for name, want := range map[string]string{"refused": "this is no dump", "nosuch": "There is no addon holder 'nosuch'."} {
		if err := imported(w.admin, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("import into %s: %v, want %q", name, err, want)
		}
	}
	if got, err := export(w.admin, "large"); got != 100<<20 || err != nil {
		t.Errorf("of 100 MB came %d bytes, %v", got, err)
	}
	for name, want := range map[string]string{
		"refused": "its server does not answer", "nosuch": "There is no addon holder 'nosuch'.", "broken": "The export broke off and is not whole",
	} {
		if _, err := export(w.admin, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	must(t, w.platform.SetMember(t.Context(), platform.Actor{Admin: true}, "default", hop3.Member{Username: "alice", Role: hop3.RoleNone}))
	if got, err := export(w.user, "large"); err == nil || got != 0 {
		t.Errorf("somebody else got %d bytes, %v", got, err)
	}
	if err := imported(w.user, "large"); err == nil || restored != 200<<20 {
		t.Errorf("somebody else wrote: %v", err)
	}
	res, err := http.Get(w.server.URL + "/api/addons/holder/large/export")
	must(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Error(fmt.Sprint("nobody gets ", res.Status))
	}
}
