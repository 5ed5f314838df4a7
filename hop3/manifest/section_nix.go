package manifest

import "fmt"

// readNix reads [nix]. Its other keys are those of a template, which the
// builder checks.
func readNix(r *reading) {
	t := r.table.table("nix")
	if t == nil {
		return
	}
	o := &r.manifest.Build.Nix
	o.Template = t.text("template")
	for key, value := range t.values {
		if key == "template" {
			continue
		}
		if o.Values == nil {
			o.Values = map[string]any{}
		}
		o.Values[key] = value
	}
	if b := r.manifest.Builder; b != "" && b != "auto" && b != builderNix {
		r.noEffect("nix", fmt.Sprintf("the app is not built with Nix: builder = %q", b))
	}
}

const builderNix = "nix"
