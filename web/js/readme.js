/* The page's own words about the model: what it can do, what it is for, how to prompt it, what it costs, its licence. */
import { h } from './dom.js';
import { t, money } from './i18n.js';
import { requestTable } from './samples.js';

export function readme(facts, model) {
  const list = (key) => h('ul', {}, t(key).map((item) => h('li', {}, item)));
  const { capabilities } = facts;
  return h('article', { class: 'panel prose' },
    h('h2', {}, t('readme.title')), h('p', {}, t('readme.intro')),
    h('h3', {}, t('readme.can')), list('readme.can.list'),
    h('h3', {}, t('readme.for')), list('readme.for.list'),
    h('h3', {}, t('readme.prompting')), h('p', {}, t('readme.prompting.text')), h('pre', { class: 'code', tabindex: '0' }, t('readme.template')), list('readme.prompting.list'),
    h('h3', {}, t('readme.parameters')), requestTable(model),
    h('h3', {}, t('readme.pricing')), h('p', {}, t('readme.pricing.text')),
    h('ul', {}, facts.models.map((one) => h('li', {}, h('code', {}, one.model_id), ' ', t('readme.perimage', { price: money(one.base_price) })))),
    h('h3', {}, t('readme.licence')), h('p', {}, t('readme.licence.text', { name: capabilities.model.name, licence: capabilities.model.licence })),
    h('h3', {}, t('readme.related')), h('ul', {}, facts.models.filter((one) => one !== model).map((one) => h('li', {}, h('code', {}, one.model_id), ': ', one.description ?? ''))));
}
