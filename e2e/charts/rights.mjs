// What the operator's chart grants it, beside what an audit log says that it asked for.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ofKind, render } from './harness.mjs';

/** The events of a control plane's audit log, each request once. */
export function auditLog(folder) {
  return readFileSync(join(folder, 'audit.log'), 'utf8').trim().split('\n')
    .map((line) => JSON.parse(line)).filter(({ stage }) => stage !== 'RequestReceived');
}

/** The rules of the Roles and ClusterRoles that the operator itself is bound to. */
export function rulesOfChart(values = {}) {
  const objects = render('helm', 'notice-operator', values);
  return [...ofKind(objects, 'ClusterRole'), ...ofKind(objects, 'Role')]
    .filter(({ metadata }) => /^notice-operator(-self)?$/.test(metadata.name))
    .flatMap(({ rules }) => rules);
}

/** Each right of some rules, as `group/resource verb`. */
export function rightsOf(rules) {
  const rights = rules.flatMap(({ apiGroups, resources, verbs }) => (
    resources.flatMap((resource) => verbs.map((verb) => `${apiGroups[0]}/${resource} ${verb}`))));
  return [...new Set(rights)];
}

/** The right that an event of the audit log needed. */
export function rightOf({ verb, objectRef }) {
  const { apiGroup = '', resource, subresource } = objectRef;
  return `${apiGroup}/${resource}${subresource ? `/${subresource}` : ''} ${verb}`;
}

/** All rights that events needed: to apply what was not there is to create it as well. */
export function rightsUsed(events) {
  const created = events.filter(({ verb, responseStatus }) => verb === 'patch' && responseStatus?.code === 201);
  return new Set([...events.map(rightOf), ...created.map((event) => rightOf({ ...event, verb: 'create' }))]);
}

/** Whether one of the rules allows what the event asked for. */
export function isGranted(rules, event) {
  const { name } = event.objectRef;
  return rules.some((rule) => rightsOf([rule]).includes(rightOf(event))
    && (!rule.resourceNames || rule.resourceNames.includes(name)));
}
