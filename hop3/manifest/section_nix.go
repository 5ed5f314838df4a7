package manifest

// readNix accepts [nix] as it is: its keys are those of a template, which the
// builder that uses them checks.
func readNix(r *reading) {
	t := r.table.table("nix")
	if t == nil {
		return
	}
	t.text("template")
	if r.manifest.Builder != builderNix {
		r.noEffect("nix", "the app is not built with Nix: its toolchain builds it")
	}
}

const builderNix = "nix"
