//go:build tools

// Package tools pins the Pulumi engine: `npm run engine` builds it from the modules that go.sum has the hashes of.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
