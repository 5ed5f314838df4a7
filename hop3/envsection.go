package hop3

// EnvSection is what a manifest says about the app's variables.
type EnvSection struct {
	Static Env // literal values
	// Override makes each deploy set the Static values again; otherwise a
	// variable that exists keeps its value.
	Override  bool
	Generated map[string]Generate // secrets, made once
	Computed  Env                 // templates over the other variables, set by each deploy
}

// Generate describes a secret the server makes when the variable is unset.
type Generate struct {
	Kind    string // hex, base64, urlsafe, password or uuid
	Length  int    // 0 means the kind's default
	Prefix  string
	Display bool // show it once to who deploys
}
