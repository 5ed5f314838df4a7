package sbom

import (
	"bytes"
	"fmt"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// Subject is what a document is about.
type Subject struct {
	App, Version string
	Commit       string // may be empty
	Image        string // of a container, whose inside is not looked at; may be empty
	Toolchains   []string
	Made         time.Time
	Server       string // the version of Hop3
}

// CycloneDX returns the packages as a document of CycloneDX 1.6, in JSON
// (https://cyclonedx.org/specification/overview/). It is the same for the same
// release and time.
func CycloneDX(about Subject, packages []Package, notes []string) ([]byte, error) {
	bom := cyclonedx.NewBOM()
	bom.SpecVersion = cyclonedx.SpecVersion1_6
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	var properties []cyclonedx.Property
	add := func(name, value string) {
		if value != "" {
			properties = append(properties, cyclonedx.Property{Name: "hop3:" + name, Value: value})
		}
	}
	add("commit", about.Commit)
	for _, t := range about.Toolchains {
		add("toolchain", t)
	}
	if about.Image != "" {
		add("image", about.Image)
		add("note", "the packages inside of the image are not listed")
	}
	for _, n := range notes {
		add("note", "left out: "+n)
	}
	subject := cyclonedx.Component{BOMRef: "app", Type: cyclonedx.ComponentTypeApplication, Name: about.App, Version: about.Version}
	bom.Metadata = &cyclonedx.Metadata{
		Timestamp: about.Made.UTC().Format(time.RFC3339),
		Component: &subject,
		Tools: &cyclonedx.ToolsChoice{Components: &[]cyclonedx.Component{
			{Type: cyclonedx.ComponentTypeApplication, Name: "Hop3", Version: about.Server},
		}},
	}
	if len(properties) > 0 {
		bom.Metadata.Properties = &properties
	}
	components := make([]cyclonedx.Component, 0, len(packages))
	needs := make([]string, 0, len(packages))
	for _, p := range packages {
		purl := p.PURL()
		c := cyclonedx.Component{
			BOMRef: purl, Type: cyclonedx.ComponentTypeLibrary, Group: p.Namespace, Name: p.Name, Version: p.Version, PackageURL: purl,
			Evidence: &cyclonedx.Evidence{Occurrences: &[]cyclonedx.EvidenceOccurrence{{Location: p.File}}},
		}
		components = append(components, c)
		needs = append(needs, purl)
	}
	bom.Components = &components
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: "app", Dependencies: &needs}}
	var out bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).Encode(bom); err != nil {
		return nil, fmt.Errorf("writing the list of packages: %w", err)
	}
	return out.Bytes(), nil
}
