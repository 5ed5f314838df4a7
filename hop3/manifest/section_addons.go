package manifest

import (
	"github.com/abilian/hop3/hop3"
)

// addonTypes are the addons of Hop3. A plug-in may bring others: which there
// are is the server's to say.
var addonTypes = []string{"postgres", "mysql", "redis", "s3", "email"}

// byHand are the types that need what no file should say.
var byHand = map[string]string{"email": "it needs the password of a mail account: make it with `hop3 addon create email NAME`, and attach it"}

// maxAddons is far above what any app has.
const maxAddons = 20

// readAddons reads [[addons]] or, when there is none, [[provider]], its name of
// old. Of an entry only type and name are ours, the rest is the addon's.
func readAddons(r *reading) {
	entries := r.tables("addons")
	old := r.tables("provider")
	if r.describing() || len(entries) == 0 {
		entries = append(entries, old...)
	}
	if len(entries) > maxAddons {
		entries[maxAddons].doc.fail(entries[maxAddons].path, "there are %d addons, more than %d", len(entries), maxAddons)
		return
	}
	seen := map[hop3.AddonID]bool{}
	for _, t := range entries {
		a := t.readAddon()
		id := hop3.AddonID{Type: a.Type, Name: a.Name}
		if seen[id] && a.Type != "" {
			t.doc.fail(t.path, "there are two addons of type '%s' without different names", cut(a.Type))
		}
		seen[id] = true
		r.manifest.Addons = append(r.manifest.Addons, a)
	}
}

func (t *table) readAddon() hop3.AddonRequest {
	a := hop3.AddonRequest{Type: t.text("type"), Name: t.text("name"), Options: map[string][]string{}}
	if a.Type == "" { // the form of old, which only has the type, as its name
		if a.Type, a.Name = a.Name, ""; a.Type == "" && !t.describing() {
			t.required("type")
		}
	}
	if guess := closest(a.Type, addonTypes); guess != "" && guess != a.Type {
		t.fail("type", "%q is not a type of addon; did you mean '%s'?", cut(a.Type), guess)
	}
	if why := byHand[a.Type]; why != "" {
		t.fail("type", "'%s' cannot be declared: %s", a.Type, why)
	}
	if a.Name != "" && hop3.ValidateAddonName(a.Name) != nil {
		t.fail("name", "%q cannot be an addon's name: it has up to 63 letters, digits, '-' or '_', and begins and ends with a letter or digit", cut(a.Name))
	}
	a.Dedicated = t.flag("dedicated")
	if list := t.texts("extensions"); len(list) > 0 {
		a.Options["extensions"] = list
	}
	t.rest(append(scalarShapes(), listShape(textShape()))...)
	for _, key := range t.keys() {
		switch key {
		case "type", "name", "dedicated", "extensions":
			continue
		}
		if _, isList := t.values[key].([]any); isList {
			a.Options[key] = t.texts(key)
		} else {
			a.Options[key] = []string{t.scalar(key)}
		}
	}
	return a
}
